//! Bars as one self-contained picture, light and dark.
//!
//! Invariant: no text leaves the picture; what is too long for its place ends with "…".

use std::fmt::Write;

/// How blocks of bars are laid out, in pixels.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// The width of the picture.
    pub width: f64,
    /// Where bars begin, and names end.
    pub left: f64,
    /// The length of the longest bar.
    pub longest: f64,
    /// The height of a bar.
    pub bar: f64,
    /// From one bar to the next.
    pub step: f64,
    /// The size of names and values.
    pub font: Font,
}

/// The size of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Font {
    /// 13 pixels.
    Normal,
    /// 11 pixels.
    Fine,
}

impl Font {
    fn class(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Fine => "fine",
        }
    }

    /// The width of most characters is less in all common fonts.
    fn width(self, text: &str) -> f64 {
        let each = match self {
            Self::Normal => 7.6,
            Self::Fine => 6.4,
        };
        each * text.chars().count() as f64
    }

    /// The part of a text that is sure to fit.
    fn fitting(self, text: &str, width: f64) -> String {
        if self.width(text) <= width {
            return text.to_owned();
        }
        let most = (width / self.width("x")) as usize;
        let cut: String = text.chars().take(most.saturating_sub(1)).collect();
        cut.trim_end().to_owned() + "…"
    }
}

/// Whose bar it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// What is compared with.
    Baseline,
    /// Ours.
    Pool,
    /// Another library.
    Other,
    /// Something in Python.
    Python,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Pool => "pool",
            Self::Other => "other",
            Self::Python => "python",
        }
    }
}

const STYLE: &str = "
  .back { fill: #ffffff } text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600 } .fine { font-size: 11px } .small { font-size: 11px; fill: #59636e }
  .baseline { fill: #8c959f } .other { fill: #bf8700 } .pool { fill: #0969da }
  .python { fill: #8250df } .grid { stroke: #d1d9e0 }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117 } text { fill: #f0f6fc } .small { fill: #9198a1 }
    .baseline { fill: #656c76 } .other { fill: #d29922 } .pool { fill: #4493f8 }
    .python { fill: #ab7df8 } .grid { stroke: #3d444d }
  }
";

/// From the edge of the picture to what is in it.
const MARGIN: f64 = 16.0;

/// A picture that grows downwards.
#[derive(Debug)]
pub struct Picture {
    layout: Layout,
    y: f64,
    /// What the texts of a grid take below the bars.
    below: f64,
    body: String,
}

impl Picture {
    /// A picture with nothing in it.
    pub fn new(layout: Layout) -> Self {
        Self { layout, y: 28.0, below: 0.0, body: String::new() }
    }

    /// Begins a block.
    pub fn title(&mut self, text: &str) {
        self.text("title", MARGIN, Font::Normal, text);
        self.y += 10.0;
    }

    /// Adds a bar, whose length is a share of the longest one.
    pub fn bar(&mut self, name: &str, class: Class, share: f64, value: &str) {
        let Layout { width, left, longest, bar, step, font } = self.layout;
        let len = (share * longest).clamp(1.0, longest);
        let base = self.y + bar - 3.0 + if font == Font::Fine { 1.5 } else { 0.0 };
        let end = left + len + 6.0;
        let _ = writeln!(
            self.body,
            "<text class=\"{font}\" x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{}\" x=\"{left}\" y=\"{}\" width=\"{len:.1}\" height=\"{bar}\" rx=\"2\"/>\
             <text class=\"{font}\" x=\"{end:.1}\" y=\"{base}\">{}</text>",
            left - 8.0,
            escaped(&font.fitting(name, left - 8.0 - MARGIN)),
            class.name(),
            self.y,
            escaped(&font.fitting(value, width - MARGIN - end)),
            font = font.class(),
        );
        self.y += step;
    }

    /// Draws lines behind the next `bars` bars, each with its text below: the share of the longest
    /// bar, and the text.
    pub fn grid(&mut self, bars: usize, lines: &[(f64, String)]) {
        let Layout { left, longest, step, bar, .. } = self.layout;
        let bottom = self.y + bars.saturating_sub(1) as f64 * step + bar;
        for (share, text) in lines {
            let x = left + share * longest;
            let _ = writeln!(
                self.body,
                "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{}\"/>\
                 <text class=\"small\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                self.y - 2.0,
                bottom + 2.0,
                bottom + 12.0,
                escaped(text)
            );
        }
        self.below = 8.0;
    }

    /// Ends a block.
    pub fn gap(&mut self) {
        self.y += 28.0 + std::mem::take(&mut self.below);
    }

    /// Says which colour is whose.
    pub fn legend(&mut self, kinds: &[(Class, &str)]) {
        let mut x = MARGIN;
        for (class, text) in kinds {
            let _ = writeln!(
                self.body,
                "<rect class=\"{}\" x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" rx=\"2\"/>",
                class.name(),
                self.y - 10.0,
            );
            self.text("small", x + 17.0, Font::Fine, text);
            x += 42.0 + 7.0 * text.chars().count() as f64;
        }
        self.y += 26.0;
    }

    /// Adds a line of small text.
    pub fn note(&mut self, text: &str) {
        self.text("small", MARGIN, Font::Fine, text);
        self.y += 16.0;
    }

    fn text(&mut self, class: &str, x: f64, font: Font, text: &str) {
        let y = self.y;
        let text = escaped(&font.fitting(text, self.layout.width - MARGIN - x));
        let _ = writeln!(self.body, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>");
    }

    /// The whole picture as text; `name` says what it shows.
    pub fn finish(self, name: &str) -> String {
        let (width, height, name) = (self.layout.width, self.y - 2.0, escaped(name));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{name}\">\n\
             <title>{name}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"back\" width=\"{width}\" height=\"{height}\"/>\n{}</svg>\n",
            self.body
        )
    }
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;")
}

/// Reads pictures, to see whether they are as they are to be.
#[cfg(test)]
pub(crate) mod reading {
    use super::*;

    /// Panics unless all elements are closed in turn, attributes are quoted and differ, and text
    /// has no character that must be escaped.
    pub(crate) fn assert_well_formed(picture: &str) {
        let mut open = Vec::new();
        let mut rest = picture;
        while let Some(at) = rest.find('<') {
            assert_text(&rest[..at]);
            let end = at + rest[at..].find('>').expect("a tag has an end");
            let tag = &rest[at + 1..end];
            rest = &rest[end + 1..];
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "{tag}");
                continue;
            }
            let inside = tag.strip_suffix('/').unwrap_or(tag);
            let (name, attributes) = inside.split_once(' ').unwrap_or((inside, ""));
            assert_attributes(attributes);
            if inside == tag {
                open.push(name);
            }
        }
        assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
    }

    fn assert_attributes(mut text: &str) {
        let mut known = Vec::new();
        while let Some((name, rest)) = text.split_once("=\"") {
            let (value, rest) = rest.split_once('"').expect("a value has an end");
            assert_text(value);
            assert!(!known.contains(&name.trim()), "{name} twice");
            known.push(name.trim());
            text = rest;
        }
        assert_eq!(text.trim(), "");
    }

    fn assert_text(text: &str) {
        assert!(!text.contains('>'), "{text}");
        for entity in text.split('&').skip(1) {
            let name = entity.split(';').next();
            assert!(name.is_some_and(|name| ["amp", "lt", "gt", "quot"].contains(&name)), "{text}");
        }
    }

    /// Panics unless each text begins and ends in the picture, at the width that is sure.
    pub(crate) fn assert_inside(picture: &str) {
        let number = |tag: &str, name: &str| -> f64 {
            let value = tag.split_once(&format!(" {name}=\"")).expect("has it").1;
            value.split('"').next().and_then(|value| value.parse().ok()).expect("a number")
        };
        let (width, height) = (number(picture, "width"), number(picture, "height"));
        let texts: Vec<&str> = picture.split("<text").skip(1).collect();
        assert!(!texts.is_empty());
        for text in texts {
            let (tag, text) = text.split_once('>').expect("a tag has an end");
            let text = text.split('<').next().unwrap_or_default().replace("&lt;", "<");
            let text = text.replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
            let is_fine = tag.contains("\"small\"") || tag.contains("\"fine\"");
            let font = if is_fine { Font::Fine } else { Font::Normal };
            let (x, len) = (number(tag, "x"), font.width(&text));
            let from = match tag {
                _ if tag.contains("\"end\"") => x - len,
                _ if tag.contains("\"middle\"") => x - len / 2.0,
                _ => x,
            };
            assert!(from >= 0.0 && from + len <= width, "{text}: {from} to {}", from + len);
            assert!((10.0..height).contains(&number(tag, "y")), "{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        reading::{assert_inside, assert_well_formed},
        *,
    };

    const LAYOUT: Layout = Layout {
        width: 400.0,
        left: 90.0,
        longest: 200.0,
        bar: 10.0,
        step: 14.0,
        font: Font::Fine,
    };

    #[test]
    fn long_and_odd_texts_stay_inside() {
        let long = "a < b & \"c\" > d ".repeat(20);
        let mut picture = Picture::new(LAYOUT);
        picture.title(&long);
        picture.grid(2, &[(0.0, "1".to_owned()), (1.0, "10".to_owned())]);
        picture.bar(&long, Class::Pool, 7.0, &long);
        picture.bar("", Class::Baseline, -1.0, "");
        picture.gap();
        picture.legend(&[(Class::Pool, "ours"), (Class::Other, "theirs")]);
        picture.note(&long);
        let picture = picture.finish(&long);
        assert_well_formed(&picture);
        assert_inside(&picture);
    }

    #[test]
    fn texts_end_where_there_is_no_room() {
        assert_eq!(Font::Fine.fitting("short", 100.0), "short");
        assert_eq!(Font::Fine.fitting("a longer text", 6.4 * 9.0), "a longer…");
        assert_eq!(Font::Fine.fitting("text", 0.0), "…");
    }
}
