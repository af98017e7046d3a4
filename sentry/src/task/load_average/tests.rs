use super::*;

fn shown(load: &LoadAverages) -> [f64; 3] {
    load.averages.lock().map(|average| average as f64 / ONE as f64)
}

#[test]
fn averages_rise_and_fall_as_time_passes() {
    let load = LoadAverages::default();
    load.look_at(1000, 3);
    assert_eq!(shown(&load), [0.0; 3]);
    load.look_at(1004, 3);
    assert_eq!(shown(&load), [0.0; 3], "it is not time yet");
    load.look_at(1060, 2);
    let [one, five, fifteen] = shown(&load);
    assert!((1.2..1.3).contains(&one) && (0.3..0.4).contains(&five) && (0.1..0.2).contains(&fifteen));
    load.look_at(100_000, 2);
    assert_eq!(shown(&load), [2.0; 3]);
    load.look_at(100_060, 0);
    assert!((0.7..0.8).contains(&shown(&load)[0]));
    load.look_at(u64::MAX / 2, 0);
    assert_eq!(shown(&load), [0.0; 3]);
}
