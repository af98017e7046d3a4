use super::*;

#[test]
fn later_variables_replace_earlier_ones() {
    let home = Some("/root");
    let variables = environment(&[], vec!["A=1".into(), "A=2=3".into(), "HOME=/x".into()], home).unwrap();
    assert!(variables.contains(&b"A=2=3".to_vec()) && !variables.contains(&b"A=1".to_vec()));
    assert!(variables.contains(&b"HOME=/x".to_vec()) && !variables.contains(&b"HOME=/root".to_vec()));
    assert!(variables[0].starts_with(b"PATH=") && variables.ends_with(&[b"A=2=3".into(), b"HOME=/x".into()]));
    // One that vmm itself does not have is nobody's.
    let variables = environment(&[], vec!["A=1".into(), "A".into()], home).unwrap();
    assert!(!variables.iter().any(|variable| variable.starts_with(b"A=")));
    assert!(environment(&[], vec!["=x".into()], home).is_err());
}
