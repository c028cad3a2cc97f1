//! The readers of recordings, and what of them may reach a terminal. The input begins with a letter: see [`run`].

use std::io::{Cursor, Read};
use std::time::Duration;

use hassio_sshd::audit::read::replay::{Cast, Ending, Go, Next, Pace, Screen, play};
use hassio_sshd::audit::recording::check::{check, unsealed};
use hassio_sshd::model::is_hostile;
use sha2::{Digest, Sha256};

use super::heap;
use super::input::{Dice, Input};

const ID: &str = "recordings/2026/11/24/01a20d03-2a16-71e0-99c8-e18f83c37608/0.cast";
/// What a reader may hold: a buffer, a line of 256 KiB while it grows, and its text.
const HELD_BYTES: usize = 2 * 1024 * 1024;
/// What is decompressed of an input: a few bytes of zstd are as much as one likes.
const UNSEALED_BYTES: u64 = 4 * 1024 * 1024;

/// Reads what follows the letter in its way.
pub fn run(data: &[u8]) {
    let Some((letter, rest)) = data.split_first() else {
        return;
    };
    match letter {
        // A recording as it lies there while it is made.
        b'p' => plain(rest),
        // One that is compressed.
        b's' => sealed(rest),
        // What a program wrote, in pieces.
        b'o' => output(Input(rest)),
        _ => {}
    }
}

fn plain(bytes: &[u8]) {
    let (checked, held) = heap::most(|| check(bytes, ID).unwrap());
    assert!(held <= HELD_BYTES, "{held}");
    let whole = usize::try_from(checked.whole_bytes).unwrap();
    let torn = usize::try_from(checked.torn_bytes).unwrap();
    assert_eq!(whole + torn, bytes.len());
    let digest = Sha256::digest(&bytes[..whole]);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(checked.sha256, hex);
    assert!(checked.broken_at.is_none_or(|at| at < checked.whole_bytes));
    let again = check(&bytes[..whole], ID).unwrap();
    assert_eq!((again.head, again.torn_bytes), (checked.head, 0));
    played(bytes);
}

/// It ends, and what it shows is allowed.
fn played(bytes: &[u8]) {
    let open = || Cast::read(Box::new(Cursor::new(bytes.to_vec())), ID);
    let Ok(mut cast) = open() else { return };
    let (mut lines, mut shown) = (0, String::new());
    let ((), held) = heap::most(|| {
        loop {
            lines += 1;
            // A line is at most one event.
            assert!(lines <= bytes.len());
            match cast.next_event() {
                Next::End => break,
                Next::Damaged(at, _) => {
                    assert!(at < u64::try_from(bytes.len()).unwrap());
                    break;
                }
                Next::Event(event) if event.code == "o" => shown.push_str(&event.text),
                Next::Event(_) => {}
            }
        }
    });
    assert!(held <= HELD_BYTES + 3 * shown.len(), "{held}");
    let pace = Pace {
        speed: 1.5,
        idle_limit: Duration::from_secs(2),
        most: None,
    };
    let mut out = Vec::new();
    let ending = play(&mut open().ok().unwrap(), &pace, &mut out, |wait| {
        assert!(wait <= pace.idle_limit);
        Ok(Go::On)
    });
    assert!(!matches!(ending.unwrap(), Ending::Stopped));
    let out = String::from_utf8(out).unwrap();
    allowed(&out);
    // It is what the filter lets through, and what brings the terminal back.
    let mut screen = Screen::new();
    let passed = screen.pass(&shown);
    assert_eq!(out, passed + &screen.restore());
}

fn sealed(bytes: &[u8]) {
    let open = || {
        unsealed(Cursor::new(bytes.to_vec()))
            .unwrap()
            .take(UNSEALED_BYTES)
    };
    let (checked, held) = heap::most(|| check(open(), ID));
    assert!(held <= HELD_BYTES, "{held}");
    // What is damaged may be an error at any place; up to there it is a recording like any other.
    let mut plain = Vec::new();
    let read = open().read_to_end(&mut plain);
    assert_eq!(checked.is_ok(), read.is_ok());
    if let Ok(checked) = checked {
        let of_plain = check(plain.as_slice(), ID).unwrap();
        assert_eq!(checked, of_plain);
    }
    if let Ok(mut cast) = Cast::read(Box::new(open()), ID) {
        while let Next::Event(event) = cast.next_event() {
            allowed(&Screen::new().pass(&event.text));
        }
    }
}

/// However it is cut, the same is shown.
fn output(mut input: Input<'_>) {
    let mut dice = Dice::new(u64::from(input.u8()));
    let text = String::from_utf8_lossy(input.rest());
    let mut whole = Screen::new();
    let passed = whole.pass(&text);
    allowed(&passed);
    let mut cut = Screen::new();
    let (mut from, mut pieces) = (0, String::new());
    for at in 1..=text.len() {
        if text.is_char_boundary(at) && (at == text.len() || dice.roll(4) == 0) {
            pieces.push_str(&cut.pass(&text[from..at]));
            from = at;
        }
    }
    assert_eq!(pieces, passed);
    assert_eq!(cut.restore(), whole.restore());
    allowed(&whole.restore());
    // A number that is left out is written, a switch to the other screen is an empty one.
    assert!(passed.len() <= 4 * text.len() + 32, "{}", passed.len());
}

/// Text, the controls that move the cursor, and of sequences those that colour, move and erase: a list of its own, made from
/// ECMA-48 and what xterm does with it.
fn allowed(text: &str) {
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => sequence(&mut rest),
            '\r' | '\n' | '\t' | '\u{8}' => {}
            c => assert!(!c.is_control() && !is_hostile(c), "{c:?} in {text:?}"),
        }
    }
}

fn sequence(rest: &mut std::str::Chars<'_>) {
    match rest.next() {
        // DECSC DECRC IND NEL RI.
        Some('7' | '8' | 'D' | 'E' | 'M') => return,
        Some('[') => {}
        other => panic!("escape {other:?}"),
    }
    let mut parameters = String::new();
    let last = loop {
        match rest.next() {
            Some(c @ ('0'..='9' | ';' | ':')) => parameters.push(c),
            Some(c) => break c,
            None => panic!("a sequence that does not end"),
        }
    };
    let numbers: Vec<u32> = parameters
        .split([';', ':'])
        .filter(|number| !number.is_empty())
        .map(|number| number.parse().unwrap())
        .collect();
    let most = numbers.iter().copied().max().unwrap_or(0);
    let fine = match last {
        'm' => most <= 65_535,
        // 3 is what was on the reader's screen before.
        'J' => most <= 2,
        // With more numbers it is about the mouse.
        'T' => numbers.len() <= 1 && most <= 2000,
        'A'..='I' | 'K'..='M' | 'P' | 'S' | 'X' | 'Z' => most <= 2000,
        '@' | '`' | 'a' | 'b' | 'd' | 'e' | 'f' | 'r' => most <= 2000,
        _ => false,
    };
    assert!(fine, "CSI {parameters}{last}");
}
