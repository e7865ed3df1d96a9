//! The names of routes, each with a number.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Method and pattern of the paths that were asked for: there are as many as the process has, whatever clients write.
#[derive(Debug, Default)]
pub(super) struct Routes(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    ids: HashMap<Arc<str>, u16>,
    names: Vec<Arc<str>>,
}

impl Routes {
    pub(super) fn id(&self, name: &str) -> u16 {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).ids.get(name).copied();
        known.unwrap_or_else(|| {
            let Known { ids, names } = &mut *self.0.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(id) = ids.get(name) {
                return *id;
            }
            let Ok(id) = u16::try_from(names.len()) else { return u16::MAX };
            let name: Arc<str> = name.into();
            names.push(Arc::clone(&name));
            ids.insert(name, id);
            id
        })
    }

    pub(super) fn name(&self, id: u16) -> Arc<str> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.names.get(usize::from(id)).map_or_else(|| "-".into(), Arc::clone)
    }

    /// All of them, with their numbers.
    pub(super) fn all(&self) -> Vec<(u16, Arc<str>)> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (0..).zip(known.names.iter().cloned()).collect()
    }
}
