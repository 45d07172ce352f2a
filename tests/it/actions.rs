//! What rules do besides deciding: exceptions, reasons, greylisting, shares, changes of what is stored, redirects, and recipients
//! whose verdicts differ.

mod delivery;
mod edit;
mod judging;
mod mixed;
mod postfix;
