//! The file: a header, then frames. A frame is read whole or not at all.
//!
//!     header   "LAMPWIRE", version (2 bytes), 2 bytes of zero, entity id (6), 6 of zero, CRC-32 of all before it (4)
//!     frame    length of what follows the head (4), its CRC-32 (4), CRC-32 of those eight bytes (4), then kind (1) and records
//!
//! Numbers are little-endian. The head has a sum of its own, so that a damaged frame can be stepped over.

use std::io::{self, Read};

use lampwire_core::store::Record;
use lampwire_sip::EntityId;

use super::encoding::{self, Malformed};

/// The newest version of the format, which is the one that is written.
pub(crate) const VERSION: u16 = 2;

/// Bytes of the header.
pub(crate) const HEADER: usize = 28;

/// Bytes before what a frame holds.
const HEAD: usize = 12;

const MAGIC: [u8; 8] = *b"LAMPWIRE";

/// The longest frame that is read: more than a batch of the most states, publications and lanes there may be, and little enough to be held
/// in memory.
const FRAME_BYTES_MAX: usize = 512 * 1024 * 1024;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Changes, of one moment.
    Batch,
    /// A part of the snapshot that the file begins with.
    Page,
    /// The snapshot is complete.
    Complete,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Batch => 1,
            Self::Page => 2,
            Self::Complete => 3,
        }
    }

    const fn of(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Batch),
            2 => Some(Self::Page),
            3 => Some(Self::Complete),
            _ => None,
        }
    }
}

/// Reads a record, and gives what follows it.
type Decode = fn(&[u8]) -> Result<(Record, &[u8]), Malformed>;

/// How the records of a version are read. An older version gets a line here; what was read from it is written anew as [`VERSION`].
fn decoder(version: u16) -> Option<Decode> {
    match version {
        1 => Some(encoding::decode_of_1),
        2 => Some(encoding::decode),
        _ => None,
    }
}

/// The beginning of a file of this node's.
pub(crate) fn header(entity_id: EntityId) -> Vec<u8> {
    header_of(VERSION, entity_id)
}

/// The same, of any version.
pub(super) fn header_of(version: u16, entity_id: EntityId) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(version.to_le_bytes());
    out.extend([0; 2]);
    out.extend(entity_id.as_bytes());
    out.extend([0; 6]);
    out.extend(crc32fast::hash(&out).to_le_bytes());
    out
}

/// Puts a frame with these records into the buffer, whose content is dropped.
pub(crate) fn write(out: &mut Vec<u8>, kind: Kind, records: &[Record]) -> io::Result<()> {
    out.clear();
    out.extend([0; HEAD]);
    out.push(kind.byte());
    for record in records {
        encoding::encode(record, out);
    }
    let length = out.len() - HEAD;
    let too_long = || io::Error::new(io::ErrorKind::FileTooLarge, "more than a frame may hold");
    if length > FRAME_BYTES_MAX {
        return Err(too_long());
    }
    let length = u32::try_from(length).map_err(|_| too_long())?;
    let sum = crc32fast::hash(&out[HEAD..]);
    out[..4].copy_from_slice(&length.to_le_bytes());
    out[4..8].copy_from_slice(&sum.to_le_bytes());
    let of_head = crc32fast::hash(&out[..8]);
    out[8..HEAD].copy_from_slice(&of_head.to_le_bytes());
    Ok(())
}

/// What a file begins with.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It can be read.
    Frames(Frames),
    /// It has no header, or a broken one.
    NoHeader,
    /// It was written by a newer program.
    Newer(u16),
}

/// The frames of a file, in their order.
pub(crate) struct Frames {
    from: Box<dyn Read>,
    /// The version of the file.
    pub(crate) version: u16,
    /// Whose it is.
    pub(crate) entity_id: EntityId,
    decode: Decode,
    buffer: Vec<u8>,
    /// Where the next frame begins.
    pub(crate) at: u64,
}

/// What comes next.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// A frame.
    Frame(Kind, Vec<Record>),
    /// One that cannot be read, while what follows may be.
    Damaged,
    /// The file is over, in order.
    End,
    /// The file ends within a frame, or in one whose bytes never reached the disk, as after a power cut.
    Torn,
    /// What follows is no frame.
    Garbage,
}

impl std::fmt::Debug for Frames {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Frames of {} at {}", self.entity_id, self.at)
    }
}

impl Frames {
    /// Reads the header.
    pub(crate) fn open(mut from: Box<dyn Read>) -> io::Result<Opened> {
        let mut header = [0; HEADER];
        if fill(&mut from, &mut header)? < HEADER || !header.starts_with(&MAGIC) {
            return Ok(Opened::NoHeader);
        }
        let version = u16::from_le_bytes([header[8], header[9]]);
        if version > VERSION {
            return Ok(Opened::Newer(version));
        }
        let (summed, sum) = header.split_at(HEADER - 4);
        let (Some(decode), true) = (
            decoder(version),
            crc32fast::hash(summed).to_le_bytes() == sum,
        ) else {
            return Ok(Opened::NoHeader);
        };
        let mut entity_id = [0; 6];
        entity_id.copy_from_slice(&header[12..18]);
        Ok(Opened::Frames(Self {
            from,
            version,
            entity_id: entity_id.into(),
            decode,
            buffer: Vec::new(),
            at: HEADER as u64,
        }))
    }

    /// Reads the next frame. After anything but a frame and [`Next::Damaged`] there is none.
    pub(crate) fn next(&mut self) -> io::Result<Next> {
        let mut head = [0; HEAD];
        match fill(&mut self.from, &mut head)? {
            0 => return Ok(Next::End),
            HEAD => {}
            _ => return Ok(Next::Torn),
        }
        let word =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (length, sum) = (word(0) as usize, word(4));
        if crc32fast::hash(&head[..8]) != word(8) || length > FRAME_BYTES_MAX {
            return self.torn_or(Next::Garbage);
        }
        self.buffer.clear();
        // Grows with what there is, not with what the head says.
        (&mut self.from)
            .take(length as u64)
            .read_to_end(&mut self.buffer)?;
        if self.buffer.len() < length {
            return Ok(Next::Torn);
        }
        if crc32fast::hash(&self.buffer) != sum {
            let mut head = [0; HEAD];
            let filled = fill(&mut self.from, &mut head)?;
            if head == [0; HEAD] {
                return self.torn_or(Next::Garbage);
            }
            let rest = std::mem::replace(&mut self.from, Box::new(io::empty()));
            let head = io::Cursor::new(head).take(filled as u64);
            self.from = Box::new(head.chain(rest));
            self.at += (HEAD + length) as u64;
            return Ok(Next::Damaged);
        }
        self.at += (HEAD + length) as u64;
        Ok(match self.records() {
            Ok((kind, records)) => Next::Frame(kind, records),
            Err(Malformed) => Next::Damaged,
        })
    }

    fn records(&self) -> Result<(Kind, Vec<Record>), Malformed> {
        let (kind, mut rest) = self.buffer.split_first().ok_or(Malformed)?;
        let kind = Kind::of(*kind).ok_or(Malformed)?;
        let mut records = Vec::new();
        while !rest.is_empty() {
            let (record, after) = (self.decode)(rest)?;
            records.push(record);
            rest = after;
        }
        Ok((kind, records))
    }

    /// A file may have become longer before its bytes reached the disk: then zeros are all that follows, and the frame is torn.
    fn torn_or(&mut self, otherwise: Next) -> io::Result<Next> {
        let mut block = [0; 4096];
        loop {
            match fill(&mut self.from, &mut block)? {
                0 => return Ok(Next::Torn),
                length if block[..length].iter().any(|byte| *byte != 0) => return Ok(otherwise),
                _ => {}
            }
        }
    }
}

/// Reads until the buffer is full or there is no more.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
