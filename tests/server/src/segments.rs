//! The same bytes in other pieces: what a peer receives must not depend on how the sender cut it.

use crate::script::{Script, Step};

/// How the bytes of a script's sends are cut. Each piece is a write of its own, and a TLS record of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segments {
    /// As the script has them.
    AsWritten,
    /// Sends in a row are one.
    Whole,
    /// Each line is one, its end included.
    Lines,
    /// Each line's end is apart from the line, and its two bytes from each other.
    LineEnds,
    /// Each byte is one.
    Bytes,
}

impl Segments {
    /// All of them.
    pub const ALL: [Segments; 5] =
        [Self::AsWritten, Self::Whole, Self::Lines, Self::LineEnds, Self::Bytes];

    /// The script with its sends cut in this way.
    pub fn of(self, script: &Script) -> Script {
        let connections = script.connections.iter().map(|steps| self.steps(steps)).collect();
        Script { connections, then: script.then }
    }

    fn steps(self, steps: &[Step]) -> Vec<Step> {
        let mut cut = Vec::new();
        let mut run = Vec::new();
        for step in steps {
            let bytes = match step {
                Step::Send(text) => text.as_bytes(),
                Step::SendHex(bytes) => bytes,
                other => {
                    self.flush(&mut run, &mut cut);
                    cut.push(self.inside(other));
                    continue;
                }
            };
            run.extend_from_slice(bytes);
            if self != Self::Whole {
                self.flush(&mut run, &mut cut);
            }
        }
        self.flush(&mut run, &mut cut);
        cut
    }

    fn inside(self, step: &Step) -> Step {
        match step {
            Step::Repeat { times, steps } => {
                Step::Repeat { times: *times, steps: self.steps(steps) }
            }
            Step::ByPath(paths) => Step::ByPath(
                paths.iter().map(|(path, steps)| (path.clone(), self.steps(steps))).collect(),
            ),
            other => other.clone(),
        }
    }

    fn flush(self, run: &mut Vec<u8>, cut: &mut Vec<Step>) {
        let ends_piece = |byte: u8, next: Option<&u8>| match self {
            Self::AsWritten | Self::Whole => false,
            Self::Lines => byte == b'\n',
            Self::LineEnds => matches!(byte, b'\r' | b'\n') || matches!(next, Some(b'\r' | b'\n')),
            Self::Bytes => true,
        };
        let mut piece = Vec::new();
        for (at, byte) in run.iter().enumerate() {
            piece.push(*byte);
            if ends_piece(*byte, run.get(at + 1)) {
                cut.push(Step::SendHex(std::mem::take(&mut piece)));
            }
        }
        if !piece.is_empty() {
            cut.push(Step::SendHex(piece));
        }
        run.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_stay_the_same_and_the_pieces_change() {
        let steps = vec![Step::head(), Step::send("a\r\nb"), Step::send("c\r\n"), Step::Fin];
        let script = Script::every(vec![Step::times(2, steps)]);
        for (segments, pieces) in [
            (Segments::AsWritten, vec!["a\r\nb", "c\r\n"]),
            (Segments::Whole, vec!["a\r\nbc\r\n"]),
            (Segments::Lines, vec!["a\r\n", "b", "c\r\n"]),
            (Segments::LineEnds, vec!["a", "\r", "\n", "b", "c", "\r", "\n"]),
            (Segments::Bytes, vec!["a", "\r", "\n", "b", "c", "\r", "\n"]),
        ] {
            let cut = segments.of(&script);
            let [Step::Repeat { times: 2, steps }] = &cut.connections[0][..] else {
                panic!("{cut:?}")
            };
            let sends: Vec<Step> =
                pieces.iter().map(|piece| Step::SendHex(piece.as_bytes().to_vec())).collect();
            assert_eq!(steps[1..steps.len() - 1], sends, "{segments:?}");
            assert_eq!((&steps[0], &steps[steps.len() - 1]), (&Step::head(), &Step::Fin));
        }
    }
}
