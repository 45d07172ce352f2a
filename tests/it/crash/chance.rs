//! Random numbers that a seed gives again (xorshift64*).

/// A source of them.
pub struct Chance(u64);

impl Chance {
    /// From `CRASH_SEED`, or another one each time, which is printed.
    pub fn new() -> Chance {
        let given = std::env::var("CRASH_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = given.unwrap_or(now.as_nanos() as u64);
        println!("CRASH_SEED={seed}");
        Chance(seed.max(1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// 0 to `bound` - 1.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound.max(1)
    }

    /// Another source.
    pub fn split(&mut self) -> Chance {
        Chance(self.next().max(1))
    }
}
