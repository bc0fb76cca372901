//! What to do about a drone: what is wanted against what is there. Pure and exhaustive.

use super::view::DroneState;
use crate::records::Desired;

/// What is there of a drone's container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// It runs.
    Running,
    /// It exists and does not run.
    Stopped,
    /// There is none.
    Absent,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is as wanted.
    Nothing,
    /// Start the container.
    Start,
    /// Stop the container.
    Stop,
    /// Say that it is lost: recreating it would hide a loss.
    ReportLost,
}

/// What brings a drone to what is wanted of it.
pub fn next(desired: Desired, observed: Observed) -> Action {
    match (desired, observed) {
        (Desired::Running, Observed::Running) | (Desired::Burrowed, Observed::Stopped) => {
            Action::Nothing
        }
        (Desired::Running, Observed::Stopped) => Action::Start,
        (Desired::Burrowed, Observed::Running) => Action::Stop,
        (Desired::Running | Desired::Burrowed, Observed::Absent) => Action::ReportLost,
    }
}

/// The state that people see while nothing is under way.
pub fn state(desired: Desired, observed: Observed) -> DroneState {
    match (desired, observed) {
        (Desired::Running | Desired::Burrowed, Observed::Running) => DroneState::Running,
        (Desired::Burrowed, Observed::Stopped) => DroneState::Burrowed,
        (Desired::Running, Observed::Stopped) => DroneState::Stopped,
        (Desired::Running | Desired::Burrowed, Observed::Absent) => DroneState::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_and_there_needs_nothing() {
        assert_eq!(next(Desired::Running, Observed::Running), Action::Nothing);
        assert_eq!(next(Desired::Burrowed, Observed::Stopped), Action::Nothing);
        assert_eq!(next(Desired::Running, Observed::Stopped), Action::Start);
        assert_eq!(next(Desired::Burrowed, Observed::Running), Action::Stop);
    }

    #[test]
    fn a_container_that_is_gone_is_never_made_again_by_itself() {
        for desired in [Desired::Running, Desired::Burrowed] {
            assert_eq!(next(desired, Observed::Absent), Action::ReportLost);
            assert_eq!(state(desired, Observed::Absent), DroneState::Lost);
        }
    }
}
