//! What happens, and who hears of it.

use std::sync::{Arc, Weak};

use super::event::{About, Event, Handles, Question};
use super::group::FanotifyFile;
use super::mark::{Mark, MarkList, Masks};
use super::{FanMask, InitFlags};
use crate::fs::file_handle::FileHandle;
use crate::fs::metadata::FileKind;
use crate::fs::{Dentry, Path};
use crate::heap;

/// Something that happens to a file, or to an entry of a directory.
#[derive(Clone, Copy)]
pub(in crate::fs) struct Occurrence<'a> {
    pub(in crate::fs) mask: FanMask,
    /// Whether the file is a directory.
    pub(in crate::fs) is_directory: bool,
    /// The file, unless it is the entry that this is about.
    pub(in crate::fs) object: Option<&'a Dentry>,
    /// The file's inode number, of an entry.
    pub(in crate::fs) number: u64,
    /// The directory that it is in, and its name there.
    pub(in crate::fs) place: Option<(&'a Dentry, &'a [u8])>,
    /// Where an entry was renamed to.
    pub(in crate::fs) renamed_to: Option<(&'a Dentry, &'a [u8])>,
    /// By which it is used, if it is.
    pub(in crate::fs) path: Option<&'a Path>,
}

/// How an event has reached a mark.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Object,
    /// From a file in the directory that has the mark.
    Child,
    /// The directory that an entry was renamed to.
    NewDirectory,
    Wide,
}

/// A group and its marks that an event has reached.
struct Concerned {
    group: Arc<FanotifyFile>,
    marks: Vec<(Arc<Mark>, Way)>,
}

/// What a group hears, and how.
struct Heard {
    mask: FanMask,
    from_object: bool,
    from_new_directory: bool,
}

impl Occurrence<'_> {
    fn is_of_entry(&self) -> bool {
        self.mask.intersects(FanMask::OF_ENTRIES)
    }

    /// Hands what happened to all that are to hear of it.
    pub(in crate::fs) fn tell(&self) {
        let any = self.object.or(self.place.map(|(directory, _)| directory));
        if !any.is_some_and(Dentry::may_have_marks) {
            return;
        }
        for concerned in self.concerned() {
            if let Some(heard) = concerned.heard(self)
                && let Some(about) = self.about(&concerned.group, &heard)
            {
                let has_handles = concerned.group.flags().intersects(InitFlags::HANDLES);
                let says_directory = has_handles && self.is_directory;
                let ondir = if says_directory { FanMask::ONDIR } else { FanMask::empty() };
                let mask = heard.mask | ondir;
                concerned.group.receive(Event { mask, actor: heap::actor(), about });
            }
            if self.mask.contains(FanMask::MODIFY) {
                concerned.marks.iter().for_each(|(mark, _)| mark.file_changed());
            }
        }
    }

    /// The groups that have marks in the way.
    fn concerned(&self) -> Vec<Concerned> {
        let mut all = Vec::new();
        if let Some(object) = self.object {
            collect(&mut all, object.watches().marks(), Way::Object);
        }
        if let Some((directory, _)) = self.place {
            let way = if self.is_of_entry() { Way::Object } else { Way::Child };
            collect(&mut all, directory.watches().marks(), way);
        }
        if let Some((directory, _)) = self.renamed_to {
            collect(&mut all, directory.watches().marks(), Way::NewDirectory);
        }
        if let Some(path) = self.path {
            collect(&mut all, path.mount.marks(), Way::Wide);
        }
        if let Some(any) = self.object.or(self.place.map(|(directory, _)| directory)) {
            collect(&mut all, any.watch_register().marks(), Way::Wide);
        }
        all
    }

    /// What `group` is told that it is about; `None` if it can be told nothing.
    fn about(&self, group: &FanotifyFile, heard: &Heard) -> Option<About> {
        if !group.flags().intersects(InitFlags::HANDLES) {
            let path = self.path?;
            let has_contents = matches!(path.kind(), FileKind::Regular | FileKind::Directory);
            return has_contents.then(|| About::Place(path.clone()));
        }
        self.handles(group.flags(), heard).map(|handles| About::Handles(Box::new(handles)))
    }

    fn handles(&self, flags: InitFlags, heard: &Heard) -> Option<Handles> {
        let has = |flag| flags.contains(flag);
        let directory = self.place.map(|(directory, _)| directory);
        let home = self.object.or(directory)?;
        let number = match self.object {
            Some(object) => object.inode().metadata().ok()?.inode,
            None => self.number,
        };
        let object = FileHandle::identity(home, number);
        let of_directory = |directory: &Dentry| {
            Some(FileHandle::identity(directory, directory.inode().metadata().ok()?.inode))
        };
        let directory = directory.and_then(of_directory);
        let mut handles = Handles { file_system: home.file_system_id(), ..Handles::default() };
        if self.mask.contains(FanMask::RENAME) {
            // A mark on neither directory tells of both.
            let of_neither = !heard.from_object && !heard.from_new_directory;
            if heard.from_object || of_neither {
                handles.directory = directory;
                handles.name = self.place.map(|(_, name)| name.into()).unwrap_or_default();
            }
            if let Some((new, name)) = self.renamed_to.filter(|_| heard.from_new_directory || of_neither) {
                (handles.new_directory, handles.new_name) = (of_directory(new), name.into());
            }
            handles.object = has(InitFlags::REPORT_TARGET_FID).then_some(object);
            return Some(handles);
        }
        let is_entry = self.is_of_entry();
        let id = if is_entry && !has(InitFlags::REPORT_TARGET_FID) { directory.clone()? } else { object };
        let directory = if !is_entry && self.is_directory { Some(id.clone()) } else { directory };
        if !has(InitFlags::REPORT_FID) && directory.is_none() {
            return None;
        }
        let Some(directory) = directory.filter(|_| has(InitFlags::REPORT_DIR_FID)) else {
            handles.object = Some(id);
            return Some(handles);
        };
        let tells_child = match is_entry {
            true => has(InitFlags::REPORT_TARGET_FID),
            false => has(InitFlags::REPORT_FID) && !self.is_directory,
        };
        let child = Some(id).filter(|id| tells_child && *id != directory);
        let has_name = has(InitFlags::REPORT_NAME) && (is_entry || !self.is_directory);
        let name = self.place.filter(|_| has_name).map(|(_, name)| name).unwrap_or_default();
        if name.is_empty() && child.is_none() {
            handles.object = Some(directory);
        } else {
            handles.name = name.into();
            (handles.directory, handles.object) = (Some(directory), child);
        }
        Some(handles)
    }
}

/// Adds the groups of marks of a list.
fn collect(all: &mut Vec<Concerned>, list: &MarkList, way: Way) {
    for mark in list.snapshot() {
        let known = all.iter_mut().find(|known| Weak::ptr_eq(&mark.group, &Arc::downgrade(&known.group)));
        match (known, mark.group.upgrade()) {
            (Some(known), _) => known.marks.push((mark, way)),
            (None, Some(group)) => all.push(Concerned { group, marks: vec![(mark, way)] }),
            (None, None) => {}
        }
    }
}

impl Concerned {
    /// What the group hears of `occurrence`, if it hears anything.
    fn heard(&self, occurrence: &Occurrence<'_>) -> Option<Heard> {
        let (mut wanted, mut ignored) = (FanMask::empty(), FanMask::empty());
        let (mut from_object, mut from_new_directory) = (false, false);
        for (mark, way) in &self.marks {
            let masks: Masks = mark.masks();
            let is_through_child = *way == Way::Child;
            ignored |= masks.ignored_for(occurrence.is_directory, is_through_child);
            if occurrence.is_directory && !masks.mask.contains(FanMask::ONDIR)
                || is_through_child && !masks.mask.contains(FanMask::EVENT_ON_CHILD)
                || *way == Way::NewDirectory && !occurrence.mask.contains(FanMask::RENAME)
            {
                continue;
            }
            wanted |= masks.mask;
            if masks.mask.intersects(occurrence.mask) {
                from_object |= *way == Way::Object;
                from_new_directory |= *way == Way::NewDirectory;
            }
        }
        let mask = (occurrence.mask & wanted).difference(ignored | FanMask::MODIFIERS);
        (!mask.is_empty()).then_some(Heard { mask, from_object, from_new_directory })
    }
}

/// What is asked of a use of the file at `path`.
fn question<'a>(
    path: &'a Path,
    mask: FanMask,
    parent: Option<&'a (Arc<Dentry>, Arc<[u8]>)>,
) -> Occurrence<'a> {
    Occurrence {
        mask,
        is_directory: path.is_directory(),
        object: Some(&path.dentry),
        number: 0,
        place: parent.map(|(directory, name)| (&**directory, &**name)),
        renamed_to: None,
        path: Some(path),
    }
}

/// Whether somebody wants to be asked whether the file at `path` may be used as `mask` says.
pub fn is_asked(path: &Path, mask: FanMask) -> bool {
    if !path.dentry.may_have_marks() {
        return false;
    }
    let (directory, name) = path.dentry.place();
    let parent = directory.map(|directory| (directory, name));
    let occurrence = question(path, mask, parent.as_ref());
    occurrence.concerned().iter().any(|concerned| concerned.heard(&occurrence).is_some())
}

/// Asks whoever wants to be asked whether the file at `path` may be used as `mask` says. All have to allow it.
pub fn ask(path: &Path, mask: FanMask) -> Vec<Arc<Question>> {
    let (directory, name) = path.dentry.place();
    let parent = directory.map(|directory| (directory, name));
    let occurrence = question(path, mask, parent.as_ref());
    let mut questions = Vec::new();
    for concerned in occurrence.concerned() {
        let Some(heard) = concerned.heard(&occurrence) else { continue };
        let question = Arc::new(Question::default());
        let about = About::Question(path.clone(), question.clone());
        concerned.group.receive(Event { mask: heard.mask, actor: heap::actor(), about });
        questions.push(question);
    }
    questions
}
