use object::elf::{EM_X86_64, ET_EXEC, PF_R, PF_X, PT_LOAD};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object};

use super::*;

#[test]
fn it_is_an_executable_whose_one_segment_holds_all_of_it() {
    let file = executable();
    let elf = ElfFile64::<Endianness>::parse(&*file).unwrap();
    let endian = elf.endian();
    let header = elf.elf_header();
    assert_eq!((header.e_type(endian), header.e_machine(endian)), (ET_EXEC, EM_X86_64));
    let [segment] = elf.elf_program_headers() else { panic!("one segment") };
    assert_eq!((segment.p_type(endian), segment.p_flags(endian)), (PT_LOAD, PF_R | PF_X));
    assert_eq!((segment.p_offset(endian), segment.p_filesz(endian)), (0, file.len() as u64));
    let entry = usize::try_from(elf.entry() - segment.p_vaddr(endian)).unwrap();
    assert_eq!(&file[entry..], code());
    assert!((100..1024).contains(&code().len()), "{}", code().len());
}
