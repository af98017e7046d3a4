use super::*;

#[test]
fn figures_are_told_as_prometheus_reads_them() {
    let statistics = Statistics {
        memory_bytes: 4096,
        memory_limit_bytes: 1 << 30,
        user_seconds: 1.5,
        system_seconds: 0.25,
        tasks: 3,
        tasks_limit: None,
        uptime_seconds: 60.0,
    };
    let image = "a \"b\"\\\n".to_owned();
    let used = Used { name: Some("web".into()), pid: 7, image, resident_bytes: None, statistics };
    let text = prometheus(&[used]);
    let labels = r#"{name="web",pid="7",image="a \"b\"\\\n"}"#;
    assert!(text.contains(&format!("palisade_sandbox_memory_bytes{labels} 4096\n")), "{text}");
    assert!(text.contains(&format!("palisade_sandbox_cpu_user_seconds_total{labels} 1.5\n")), "{text}");
    assert!(!text.contains("tasks_limit{") && !text.contains("resident_memory_bytes{"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE")).count(), FIGURES.len());
}
