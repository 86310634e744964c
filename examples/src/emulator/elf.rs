//! How large an image is.

/// A section that takes memory of the device.
const ALLOCATED: u32 = 2;
const WRITABLE: u32 = 1;
/// A section of zeros, which the image does not hold.
const NO_BITS: u32 = 8;

/// The flash and the RAM of a 32-bit ELF file: the bytes that it holds for the memory of a device,
/// and the bytes of its statics. The room that a linker script leaves for stack and heap is in
/// neither.
///
/// `None` when `elf` is not such a file.
#[must_use]
pub fn sizes(elf: &[u8]) -> Option<(u64, u64)> {
    if !elf.starts_with(b"\x7fELF\x01") {
        return None;
    }
    let at = |start: usize, offset: usize| elf.get(start.checked_add(offset)?..);
    let word = |start, offset| Some(u32::from_le_bytes(*at(start, offset)?.first_chunk()?));
    let half = |start, offset| Some(u16::from_le_bytes(*at(start, offset)?.first_chunk()?));
    let table = word(0, 32)? as usize;
    let width = usize::from(half(0, 46)?);
    let start_of = |section: u16| table.checked_add(usize::from(section).checked_mul(width)?);
    let names = word(start_of(half(0, 50)?)?, 16)? as usize;
    let (mut flash, mut ram) = (0, 0);
    for section in 0..half(0, 48)? {
        let header = start_of(section)?;
        let name = at(names, word(header, 0)? as usize)?;
        let (kind, flags, size) = (word(header, 4)?, word(header, 8)?, word(header, 20)?);
        let is_room = name.starts_with(b".stack") || name.starts_with(b".heap");
        if flags & ALLOCATED == 0 || is_room {
            continue;
        }
        if kind != NO_BITS {
            flash += u64::from(size);
        }
        if flags & WRITABLE != 0 {
            ram += u64::from(size);
        }
    }
    Some((flash, ram))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with a null section, code, statics and room for a stack.
    fn image() -> Vec<u8> {
        let names = b"\0.text\0.bss\0.stack\0";
        let mut elf = vec![0; 52];
        elf[..5].copy_from_slice(b"\x7fELF\x01");
        elf[32] = 52;
        elf[46] = 40;
        elf[48] = 5;
        elf[50] = 4;
        for (name, kind, flags, offset, size) in [
            (0, 0, 0, 0, 0),
            (1, 1, 2, 0, 100),
            (7, 8, 3, 0, 20),
            (12, 8, 3, 0, 4000),
            (0, 3, 0, 52 + 5 * 40, names.len() as u32),
        ] {
            let header = [name, kind, flags, 0, offset, size, 0, 0, 0, 0];
            elf.extend(header.iter().flat_map(|word: &u32| word.to_le_bytes()));
        }
        elf.extend(names);
        elf
    }

    #[test]
    fn code_is_flash_statics_are_ram_and_room_is_neither() {
        assert_eq!(sizes(&image()), Some((100, 20)));
    }

    #[test]
    fn what_is_no_image_or_cut_has_no_size() {
        let image = image();
        for len in 0..52 + 5 * 40 {
            assert_eq!(sizes(&image[..len]), None, "{len}");
        }
        assert_eq!(sizes(&[0; 400]), None);
    }
}
