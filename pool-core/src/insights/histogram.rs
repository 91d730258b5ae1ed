//! Buckets of times: sixteen for each power of two, so a bucket is at most a sixteenth wide.

/// Bits of a time that tell buckets of one power of two apart.
const PRECISION: u32 = 4;
const PER_POWER: u64 = 1 << PRECISION;
/// How many buckets there are for times of 64 bits.
pub(super) const BUCKETS: usize = ((64 - PRECISION as usize) + 1) << PRECISION;

/// The bucket of a time.
#[inline]
pub(super) fn bucket_of(nanos: u64) -> usize {
    if nanos < PER_POWER {
        return nanos as usize;
    }
    let power = 63 - nanos.leading_zeros();
    let within = (nanos >> (power - PRECISION)) & (PER_POWER - 1);
    ((u64::from(power - PRECISION + 1) << PRECISION) + within) as usize
}

/// The shortest time of a bucket.
pub(super) fn bucket_start(bucket: usize) -> u64 {
    let (power, within) = ((bucket as u64) >> PRECISION, bucket as u64 & (PER_POWER - 1));
    match power {
        0 => within,
        power => (PER_POWER + within).checked_shl(power as u32 - 1).unwrap_or(u64::MAX),
    }
}

/// The longest time of a bucket.
pub(super) fn bucket_end(bucket: usize) -> u64 {
    if bucket + 1 >= BUCKETS { u64::MAX } else { bucket_start(bucket + 1) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_lies_in_its_bucket_and_buckets_follow_each_other() {
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(bucket_start(bucket)), bucket);
            assert_eq!(bucket_of(bucket_end(bucket)), bucket);
            let (start, end) = (bucket_start(bucket), bucket_end(bucket));
            assert!(end - start <= start / 16, "{bucket} is too wide: {start} to {end}");
        }
    }
}
