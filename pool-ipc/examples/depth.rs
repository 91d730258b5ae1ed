use pool_ipc::{from_bytes, rkyv, to_bytes, wire};
wire! {
    #[rkyv(serialize_bounds(__S: rkyv::ser::Writer + rkyv::ser::Allocator))]
    #[rkyv(deserialize_bounds(__D::Error: rkyv::rancor::Source))]
    #[rkyv(bytecheck(bounds(__C: rkyv::validation::ArchiveContext)))]
    enum Tree { Leaf(u32), Node(#[rkyv(omit_bounds)] Vec<Tree>) }
}
fn main() {
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let bytes = std::thread::Builder::new()
        .stack_size(4 << 30)
        .spawn(move || {
            let t = (0..n).fold(Tree::Leaf(1), |t, _| Tree::Node(vec![t]));
            let b = to_bytes(&t).unwrap();
            std::mem::forget(t);
            b
        })
        .unwrap()
        .join()
        .unwrap();
    println!("{} bytes", bytes.len());
    std::thread::spawn(move || {
        let r = from_bytes::<Tree>(&bytes);
        println!("{}", r.is_ok());
        std::mem::forget(r)
    })
    .join()
    .unwrap();
}
