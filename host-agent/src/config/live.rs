//! Parts of the configuration that a reload replaces under those who use them.

use std::fmt;
use std::ops::Deref;
use std::sync::OnceLock;

/// A value that can be replaced while others look at it. What was replaced stays until the end of
/// the host agent, for somebody may be looking: an administrator's reloads are few, and a table is
/// some hundred bytes.
pub struct Live<T> {
    value: T,
    next: OnceLock<Box<Live<T>>>,
}

impl<T> Live<T> {
    /// Takes over another's value if it differs. Whether it does.
    pub fn adopt(&self, other: Self) -> bool
    where
        T: PartialEq,
    {
        let differs = *self != other;
        if differs {
            self.replace(other.into_value());
        }
        differs
    }

    fn into_value(mut self) -> T {
        while let Some(next) = self.next.take() {
            self = *next;
        }
        self.value
    }

    fn replace(&self, value: T) {
        let mut newest = self.newest();
        let mut replacement = Box::new(Self::from(value));
        // Lost against another replacement: behind that one, then.
        while let Err(refused) = newest.next.set(replacement) {
            replacement = refused;
            newest = newest.newest();
        }
    }

    fn newest(&self) -> &Self {
        let mut newest = self;
        while let Some(next) = newest.next.get() {
            newest = next;
        }
        newest
    }
}

impl<T> From<T> for Live<T> {
    fn from(value: T) -> Self {
        Self { value, next: OnceLock::new() }
    }
}

/// The value of this moment. What must not change in between is taken once.
impl<T> Deref for Live<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.newest().value
    }
}

/// A copy of the value of this moment, which is replaced by itself.
impl<T: Clone> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self::from(T::clone(self))
    }
}

impl<T: PartialEq> PartialEq for Live<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: fmt::Debug> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_looks_at_stays_while_others_see_the_new_one() {
        let live = Live::from(1);
        let held: &i32 = &live;
        live.replace(2);
        live.replace(3);
        assert_eq!((*held, *live), (1, 3));
        let copy = live.clone();
        live.replace(4);
        assert_eq!((*copy, *live), (3, 4));
        assert!(!live.adopt(4.into()) && live.adopt(5.into()));
        assert_eq!(*live, 5);
    }

    #[test]
    fn of_replacements_at_once_none_is_lost_half_way() {
        let live = Live::from(0);
        std::thread::scope(|scope| {
            for number in 1..=8 {
                scope.spawn({
                    let live = &live;
                    move || live.replace(number)
                });
            }
        });
        assert!((1..=8).contains(&*live));
    }
}
