//! Changes inputs at random: the same changes for the same seed.

/// What inputs of all targets are made of.
pub const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r",
    b"\n",
    b"\0",
    b"\t",
    b" ",
    b".",
    b"..",
    b"\r\n.\r\n",
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b":",
    b";",
    b"=",
    b",",
    b"@",
    b"<",
    b">",
    b"(",
    b")",
    b"\"",
    b"\\",
    b"[",
    b"]",
    b"{",
    b"}",
    b"-",
    b"_",
    b"+",
    b"*",
    b"/",
    b"../",
    b"'",
    b"%",
    b"#",
    b"0",
    b"1",
    b"255",
    b"256",
    b"65535",
    b"2147483648",
    b"18446744073709551615",
    b"18446744073709551616",
    b"-1",
    b"1e9",
    b"\x16",
    b"\x1b[",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xc3\xa9",
    b"\xe2\x80\xae",
    b"\xe2\x80\x8b",
    b"\xef\xbb\xbf",
    b"\xe2\x84\xaa",
    b"\xf0\x9f\x92\x8c",
    b"=?utf-8?q?=40?=",
    b"xn--",
    b"xn--bcher-kva",
    b"example.com",
    b"192.0.2.1",
    b"2001:db8::1",
];

/// Random numbers of a seed (xorshift64*).
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    /// A number below `bound`; 0 where there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        self.next().checked_rem(bound as u64).unwrap_or(0) as usize
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    /// A range within so many octets, mostly a short one.
    fn range(&mut self, of: usize) -> std::ops::Range<usize> {
        let start = self.below(of + 1);
        let longest = if self.below(4) == 0 { of } else { 16 };
        start..(start + self.below(longest.min(of - start) + 1))
    }
}

/// Changes `input` in one to four ways, to at most `longest` octets. `words` are put in, and pieces of `other`.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], words: &[&[u8]], longest: usize, random: &mut Random) {
    for _ in 0..=random.below(4) {
        change(input, other, words, random);
        input.truncate(longest);
    }
}

fn change(input: &mut Vec<u8>, other: &[u8], words: &[&[u8]], random: &mut Random) {
    let at = place(input, random);
    let range = random.range(input.len());
    match random.below(16) {
        0 => {
            if let Some(octet) = input.get_mut(at) {
                *octet ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(octet) = input.get_mut(at) {
                *octet = random.next() as u8;
            }
        }
        2 => drop(input.drain(range)),
        3 => {
            let copy = input[range].to_vec();
            input.splice(at..at, copy);
        }
        4 => {
            let most = if random.below(20) == 0 { 400 } else { 5 };
            let copy = input[range].repeat(1 + random.below(most));
            input.splice(at..at, copy);
        }
        5 => {
            let from = other[random.range(other.len())].to_vec();
            input.splice(range, from);
        }
        6 => {
            let lines: Vec<&[u8]> = input.split_inclusive(|octet| *octet == b'\n').collect();
            let (from, to) = (random.below(lines.len()), random.below(lines.len() + 1));
            let mut lines: Vec<Vec<u8>> = lines.into_iter().map(<[u8]>::to_vec).collect();
            if let Some(line) = lines.get(from).cloned() {
                lines.insert(to, line);
            }
            *input = lines.concat();
        }
        7 => {
            let case = |octet: &mut u8| {
                if octet.is_ascii_alphabetic() {
                    *octet ^= 0x20
                }
            };
            input[range].iter_mut().for_each(case);
        }
        8 => {
            if let Some(word) = word(words, random) {
                input.splice(range, word.iter().copied());
            }
        }
        _ => {
            if let Some(word) = word(words, random) {
                let at = if word.ends_with(b"\n") { line_start(input, at) } else { at };
                input.splice(at..at, word.iter().copied());
            }
        }
    }
}

/// An offset; half of the time that of a line, since that is where most of what is read begins.
fn place(input: &[u8], random: &mut Random) -> usize {
    let at = random.below(input.len() + 1);
    if random.below(2) == 0 { at } else { line_start(input, at) }
}

/// Where the line begins that has this offset.
fn line_start(input: &[u8], at: usize) -> usize {
    input[..at].iter().rposition(|octet| *octet == b'\n').map_or(0, |before| before + 1)
}

fn word<'a>(words: &[&'a [u8]], random: &mut Random) -> Option<&'a [u8]> {
    let of = if words.is_empty() || random.below(3) == 0 { WORDS } else { words };
    random.pick(of).copied()
}
