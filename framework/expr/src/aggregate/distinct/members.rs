//! Which pairs of group and value a group has: so that of a few groups, whose sessions are joined or whose time is over, nobody need look at the
//! pairs of all.

/// A doubly linked list of pairs for each group.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// Of each group.
    first: Vec<Option<usize>>,
    /// Of each pair.
    links: Vec<Link>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Link {
    before: Option<usize>,
    behind: Option<usize>,
}

impl Members {
    /// Adds a pair, which must be in no group.
    pub(super) fn add(&mut self, group: usize, pair: usize) {
        if self.first.len() <= group {
            self.first.resize(group + 1, None);
        }
        if self.links.len() <= pair {
            self.links.resize(pair + 1, Link::default());
        }
        let behind = self.first[group].replace(pair);
        self.links[pair] = Link { before: None, behind };
        if let Some(behind) = behind {
            self.links[behind].before = Some(pair);
        }
    }

    /// Takes a pair out of its group.
    pub(super) fn remove(&mut self, group: usize, pair: usize) {
        let Link { before, behind } = std::mem::take(&mut self.links[pair]);
        match before {
            Some(before) => self.links[before].behind = behind,
            None => self.first[group] = behind,
        }
        if let Some(behind) = behind {
            self.links[behind].before = before;
        }
    }

    /// The pairs of a group.
    pub(super) fn of(&self, group: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(self.first.get(group).copied().flatten(), |&pair| self.links[pair].behind)
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.first.capacity() * size_of::<Option<usize>>() + self.links.capacity() * size_of::<Link>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_and_go_at_both_ends_and_between() {
        let mut members = Members::default();
        let of = |members: &Members, group: usize| members.of(group).collect::<Vec<_>>();
        [(1, 0), (1, 2), (0, 1), (1, 3), (1, 4)].into_iter().for_each(|(group, pair)| members.add(group, pair));
        assert_eq!((of(&members, 0), of(&members, 1), of(&members, 7)), (vec![1], vec![4, 3, 2, 0], vec![]));
        members.remove(1, 3);
        members.remove(1, 0);
        assert_eq!(of(&members, 1), [4, 2]);
        members.remove(1, 4);
        members.add(0, 4);
        assert_eq!((of(&members, 0), of(&members, 1)), (vec![4, 1], vec![2]));
        members.remove(1, 2);
        assert!(of(&members, 1).is_empty());
    }
}
