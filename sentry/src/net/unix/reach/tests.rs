use super::*;

/// The holders that are beyond reach; an edge is holder, held and all references to the held one.
fn beyond(edges: &[(u64, u64, usize)]) -> Vec<u64> {
    let mut graph = Graph::default();
    for &(holder, held, references) in edges {
        graph.add_edge(Node(holder), Node(held), references);
        graph.add_contents(Node(holder), holder);
    }
    let mut beyond = graph.contents_beyond_reach();
    beyond.sort_unstable();
    beyond
}

#[test]
fn rings_that_nothing_leads_to_are_beyond_reach() {
    for (edges, expected) in [
        // One that holds itself; a descriptor of it is open, or not.
        (&[(1, 1, 1)][..], &[1][..]),
        (&[(1, 1, 2)], &[]),
        // A ring, and what hangs on it.
        (&[(1, 2, 1), (2, 1, 1), (2, 3, 1)], &[1, 2, 2]),
        (&[(1, 2, 1), (2, 1, 2), (2, 3, 1)], &[]),
        // A ring that is in the inbox of a socket that is open.
        (&[(1, 2, 1), (2, 1, 2), (9, 1, 2)], &[]),
        // Held twice by itself alone.
        (&[(1, 1, 2), (1, 1, 2)], &[1, 1]),
        // Of two rings, the one that is open reaches the other.
        (&[(1, 1, 2), (1, 2, 2), (2, 2, 2)], &[]),
        (&[(1, 1, 1), (2, 2, 2)], &[1]),
    ] {
        assert_eq!(beyond(edges), expected, "{edges:?}");
    }
}
