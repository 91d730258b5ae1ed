//! Past the file size limit there is a typed error, not the signal that ends the process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pool_shm::{Error, Segment, limits};

#[test]
fn the_limit_is_an_error() {
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 1 << 20, hard).unwrap();
    assert_eq!(limits::file_size(), Some(1 << 20));
    Segment::create("fits", 1 << 20).unwrap();
    let error = Segment::create("long", (1 << 20) + 1).unwrap_err();
    assert!(matches!(error, Error::TooLong { limit: 0x10_0000, .. }), "{error}");
    #[cfg(feature = "named")]
    {
        let name = format!("pool-shm-limit.{}", std::process::id());
        // The file has 64 bytes more.
        pool_shm::NamedSegment::create(&name, (1 << 20) - 64).unwrap();
        let error = pool_shm::NamedSegment::create(&name, (1 << 20) - 63).unwrap_err();
        assert!(matches!(error, Error::TooLong { limit: 0xf_ffc0, .. }), "{error}");
    }
}
