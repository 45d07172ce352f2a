//! Octets in pieces: whatever they came in, they are what came.

use gatepost::message::content::Body;
use gatepost::message::pieces::Pieces;
use proptest::prelude::*;

const PIECE: usize = 16 * 1024;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn they_are_what_came(first in 0..40_000_usize, sizes in prop::collection::vec(0..30_000_usize, 0..8), most in 0..100_000_usize) {
        let whole: Vec<u8> = (0..first + sizes.iter().sum::<usize>()).map(|at| (at % 251) as u8).collect();
        let (begin, mut rest) = whole.split_at(first);
        let mut pieces = Pieces::from(begin.to_vec());
        for size in &sizes {
            let (now, after) = rest.split_at(*size);
            pieces.extend(now);
            rest = after;
        }
        prop_assert_eq!((pieces.len(), pieces.is_empty()), (whole.len(), whole.is_empty()));
        prop_assert!(pieces.iter().all(|piece| !piece.is_empty()));
        prop_assert!(pieces.iter().skip(1).all(|piece| piece.len() <= PIECE));
        prop_assert!(pieces.iter().count() <= whole.len().saturating_sub(first).div_ceil(PIECE) + 1, "none is short but the last");
        prop_assert!(pieces.iter().collect::<Vec<_>>().concat() == whole);
        prop_assert!(*pieces.first(most) == whole[..most.min(whole.len())]);
        prop_assert!(pieces == Pieces::from(whole.clone()));
        let mut other = whole.clone();
        other.push(0);
        prop_assert!(pieces != Pieces::from(other));
        let body = Body::Memory(pieces);
        prop_assert!(body.memory() == body.read(usize::MAX).unwrap());
        prop_assert_eq!(body.memory_bytes(), whole.len());
    }
}

#[test]
fn what_is_in_one_piece_is_not_copied() {
    let octets = b"From here\r\n".to_vec();
    let began = octets.as_ptr();
    let mut pieces = Pieces::from(octets);
    assert_eq!(pieces.first(usize::MAX).as_ptr(), began);
    pieces.extend(&[b'x'; 2 * PIECE]);
    assert!(matches!(pieces.first(100), std::borrow::Cow::Borrowed(_)), "the first piece has them");
    assert!(matches!(pieces.first(usize::MAX), std::borrow::Cow::Owned(_)));
}
