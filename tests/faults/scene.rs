//! The scenes: which faults happen to whom.

use std::time::Duration;

use super::replica::Load;
use super::stage::Stage;

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    Calm,
    Replicas,
    Frozen,
    Killed,
    Forgetful,
    Wire,
    Memory,
    ClockAhead,
    ClockBack,
    ReplicaClocks,
    ReplicaSteps,
    Stopped,
    Promotion,
    Restored,
    Sentinel,
    Migration,
    Gates,
    Everything,
}

impl Scene {
    pub const ALL: [Self; 18] = [
        Self::Calm,
        Self::Replicas,
        Self::Frozen,
        Self::Killed,
        Self::Forgetful,
        Self::Wire,
        Self::Memory,
        Self::ClockAhead,
        Self::ClockBack,
        Self::ReplicaClocks,
        Self::ReplicaSteps,
        Self::Stopped,
        Self::Promotion,
        Self::Restored,
        Self::Sentinel,
        Self::Migration,
        Self::Gates,
        Self::Everything,
    ];

    /// As the table tells it.
    pub const fn told(self) -> &'static str {
        match self {
            Self::Calm => "none",
            Self::Replicas => "replicas: kill -9, started anew",
            Self::Frozen => "Redis: SIGSTOP, SIGCONT",
            Self::Killed => "Redis: kill -9, restarted with its log (`appendfsync always`)",
            Self::Forgetful => "SCRIPT FLUSH, CLIENT KILL",
            Self::Wire => "wire: cut, stalled, slowed, half-closed",
            Self::Memory => "Redis: out of memory (`maxmemory`)",
            Self::ClockAhead => "Redis' clock: ahead by 0.2 to 2 s",
            Self::ClockBack => "Redis' clock: back by 0.2 to 1 s",
            Self::ReplicaClocks => "replicas' clocks: hours off, some 10 % fast",
            Self::ReplicaSteps => "replicas' clocks: stepped by up to an hour",
            Self::Stopped => "replicas: SIGSTOP, SIGCONT",
            Self::Promotion => "Redis: primary killed, a replica that lags promoted by hand",
            Self::Restored => {
                "Redis: primary killed, a replica that lags promoted; replicas: SIGSTOP, SIGCONT; `after_failover: restore`"
            }
            Self::Sentinel => "Redis: primary killed, a sentinel fails over",
            Self::Migration => "cluster of 3: slots in use moved to other nodes",
            Self::Gates => {
                "`toolgate serve` over HTTP: kill -9, SIGSTOP; Redis: SIGSTOP, SCRIPT FLUSH, CLIENT KILL"
            }
            Self::Everything => "all but clocks, slot groups in turn",
        }
    }

    /// How many replicas a long run has.
    pub const fn replicas(self) -> usize {
        match self {
            Self::Replicas | Self::Everything => 16,
            Self::Frozen | Self::Stopped => 8,
            Self::Killed | Self::Memory => 2,
            _ => 4,
        }
    }

    /// How long it runs where nobody asks for more.
    pub const fn short(self) -> Duration {
        match self {
            // limits are held for 3 s
            Self::Restored => Duration::from_millis(6_750),
            _ => Duration::from_millis(2_000),
        }
    }

    /// What was lost with a primary is charged again.
    pub const fn restores(self) -> bool {
        matches!(self, Self::Restored)
    }

    pub const fn load(self) -> Load {
        if self.restores() { Load::SLOW } else { Load::FULL }
    }

    pub const fn by_slot_group(self) -> bool {
        matches!(self, Self::Everything)
    }

    /// The relay stands between.
    pub const fn has_wire(self) -> bool {
        matches!(self, Self::Wire | Self::Everything)
    }

    pub const fn keeps_log(self) -> bool {
        matches!(self, Self::Killed | Self::Everything)
    }

    /// Redis runs on a clock that the scene sets.
    pub const fn has_clock(self) -> bool {
        matches!(self, Self::ClockAhead | Self::ClockBack)
    }

    /// Nothing is lost, in doubt or taken back, so that the history is whole and each denial needed.
    pub const fn is_whole(self) -> bool {
        matches!(self, Self::Calm)
    }

    /// Causes one fault and mends it; how many it was.
    pub async fn strike(self, stage: &mut Stage) -> u64 {
        let turn = stage.turn();
        match self {
            Self::Calm | Self::ReplicaClocks => return 0,
            Self::Replicas => stage.replace_replica(),
            Self::Frozen => stage.freeze(stage.some(100, 900)).await,
            Self::Killed => stage.kill_redis(stage.some(20, 300)).await,
            Self::Forgetful if turn.is_multiple_of(2) => stage.redis(&["SCRIPT", "FLUSH"]),
            Self::Forgetful => stage.redis(&["CLIENT", "KILL", "TYPE", "NORMAL"]),
            Self::Wire => wire(stage, turn).await,
            Self::Memory => {
                stage.redis(&["CONFIG", "SET", "maxmemory", "1mb"]);
                pause(stage.some(50, 400)).await;
                stage.redis(&["CONFIG", "SET", "maxmemory", "0"]);
            }
            Self::ClockAhead => stage.step_clock(i64::try_from(stage.some(200, 2_000)).unwrap()),
            Self::ClockBack => stage.step_clock(-i64::try_from(stage.some(200, 1_000)).unwrap()),
            Self::ReplicaSteps => {
                let ms = i64::try_from(stage.some(1, 3_600_000)).unwrap();
                stage.step_clock(if turn.is_multiple_of(2) { ms } else { -ms });
            }
            Self::Stopped => stage.stop_replica(stage.some(100, 900)).await,
            Self::Promotion | Self::Sentinel => {
                let lag = stage.some(50, 500);
                stage.ground().lag(lag).await;
                stage.ground().fail_over();
                // the limits are held for a window, and then there must be something to lose
                pause(1_500).await;
            }
            Self::Restored => {
                // so long that there is something to lose, and that what was held goes on
                pause(1_500).await;
                let lag = stage.some(50, 500);
                stage.ground().lag(lag).await;
                // the others have told by then what they were admitted, and wait for it
                stage.halt_replica(1_000);
                stage.ground().fail_over();
                pause(5_000).await;
            }
            Self::Migration => {
                let (pick, calm) = (stage.some(0, 1 << 20), stage.some(10, 150));
                stage.ground().migrate(usize::try_from(pick).unwrap(), calm).await;
            }
            Self::Gates => match turn % 5 {
                0 => stage.replace_replica(),
                1 => stage.freeze(stage.some(100, 600)).await,
                2 => stage.redis(&["SCRIPT", "FLUSH"]),
                3 => stage.stop_replica(stage.some(100, 600)).await,
                _ => stage.redis(&["CLIENT", "KILL", "TYPE", "NORMAL"]),
            },
            Self::Everything => match turn % 6 {
                0 => stage.replace_replica(),
                1 => stage.freeze(stage.some(100, 600)).await,
                2 => stage.kill_redis(stage.some(20, 300)).await,
                3 => stage.redis(&["SCRIPT", "FLUSH"]),
                4 => stage.redis(&["CLIENT", "KILL", "TYPE", "NORMAL"]),
                _ => wire(stage, turn / 6).await,
            },
        }
        1
    }
}

async fn wire(stage: &mut Stage, turn: u64) {
    let (long, slow) = (stage.some(50, 500), stage.some(5, 150));
    let Some(relay) = stage.ground().relay() else {
        return;
    };
    match turn % 4 {
        0 => relay.cut(),
        1 => relay.stall(),
        2 => relay.slow(slow),
        _ => relay.half_close(),
    }
    pause(long).await;
    relay.heal();
}

pub async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
