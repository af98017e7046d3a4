use super::parse;

#[test]
fn signals_have_names_and_numbers() {
    for (text, number) in
        [("SIGINT", 2), ("int", 2), ("15", 15), ("SIGRTMIN", 34), ("RTMIN+3", 37), ("SIGRTMAX-1", 63)]
    {
        assert_eq!(parse(text).unwrap().number(), number, "{text}");
    }
    for text in ["", "SIG", "0", "65", "SIGNONE", "RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMIN+-1"] {
        assert!(parse(text).is_err(), "{text}");
    }
}
