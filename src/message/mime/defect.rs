//! What makes readers disagree about the parts of a message, in words that rules can name.

/// Declares the defects with their words.
macro_rules! defects {
    ($($(#[$meta:meta])* $variant:ident = $word:literal),+ $(,)?) => {
        /// What is wrong with a message's parts, or with the name of a file.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Defect {
            $($(#[$meta])* $variant),+
        }
        const ALL: &[Defect] = &[$(Defect::$variant),+];
        /// The words of `mime.defects`, in the order in which they are told.
        pub const DEFECTS: &[&str] = &[$($word),+];
    };
}

defects! {
    /// Content-Type, Content-Disposition or Content-Transfer-Encoding stands twice in one header (RFC 5322 §3.6, RFC 2045 §3).
    DoubledField = "doubled-field",
    /// A parameter stands twice, also in two of the forms of RFC 2231 (RFC 2045 §5.1).
    DoubledParameter = "doubled-parameter",
    /// Parameters against the grammar (RFC 2045 §5.1, RFC 2231 §7).
    BrokenParameter = "broken-parameter",
    /// Lines in the header of a part that are no field (RFC 5322 §2.2).
    BrokenHeader = "broken-header",
    /// A Content-Type that is no type (RFC 2045 §5.2).
    BrokenType = "broken-type",
    /// An encoded-word or a charset in a name that can't be decoded (RFC 2047 §6.3, RFC 2231 §4).
    UndecodableName = "undecodable-name",
    /// A character in a name that isn't seen, or that turns the direction (UAX #9).
    UnseenCharacter = "unseen-character",
    /// `/`, `\` or `:` in a name (RFC 2183 §2.3).
    PathInName = "path-in-name",
    /// Dots, spaces or quotes at the end of a name, which file systems and programs take off.
    TailInName = "tail-in-name",
    /// A name that is cut by programs and file systems.
    LongName = "long-name",
    /// The names that one part may be shown under have different extensions.
    ExtensionsDiffer = "extensions-differ",
    /// A multipart without a boundary (RFC 2046 §5.1.1).
    NoBoundary = "no-boundary",
    /// A multipart that is not empty, and whose boundary stands nowhere (RFC 2046 §5.1.1).
    AbsentBoundary = "absent-boundary",
    /// A delimiter line that goes on behind the boundary (RFC 2046 §5.1.1).
    DelimiterTail = "delimiter-tail",
    /// A part behind the closing delimiter (RFC 2046 §5.1.1).
    AfterEnd = "after-end",
    /// A multipart or a message with a transfer encoding (RFC 2045 §6.4).
    EncodedMultipart = "encoded-multipart",
    /// Content that is not encoded as its header says (RFC 2045 §6.7, §6.8).
    BrokenEncoding = "broken-encoding",
    /// A transfer encoding that no RFC has (RFC 2045 §6.1).
    UnknownEncoding = "unknown-encoding",
    /// A piece of a message, or one that lies elsewhere (RFC 2046 §5.2.2, §5.2.3).
    Partial = "partial",
    /// A file within a text: uuencode, yEnc.
    Uuencoded = "uuencoded",
    /// A TNEF container (winmail.dat), which is not opened.
    Tnef = "tnef",
}

/// Some of the defects, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Defects(u32);

impl Defects {
    pub(super) fn add(&mut self, defect: Defect) {
        self.0 |= 1 << defect as u32;
    }

    pub(super) fn add_if(&mut self, holds: bool, defect: Defect) {
        if holds {
            self.add(defect);
        }
    }

    pub(super) fn join(&mut self, others: Defects) {
        self.0 |= others.0;
    }

    /// Their words.
    pub(super) fn words(self) -> Vec<String> {
        let found = ALL.iter().zip(DEFECTS).filter(|(defect, _)| self.0 & (1 << **defect as u32) != 0);
        found.map(|(_, word)| (*word).to_owned()).collect()
    }
}
