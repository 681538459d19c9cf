//! Which fields of a record are wanted, and by which columns.
//!
//! The paths of all wanted columns are made one tree of field names. Each distinct path is a leaf
//! with a number; each column has a list of leaves, of which the first that is there gives its
//! value.

use crate::script::Column;

/// A node of the tree; [`Wanted::ROOT`] is the record itself.
#[derive(Debug, Clone, Default)]
struct Node {
    /// The leaf, if this very field is wanted.
    leaf: Option<usize>,
    children: Vec<(String, usize)>,
}

/// The wanted fields.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    nodes: Vec<Node>,
    /// The path of each leaf.
    paths: Vec<Vec<String>>,
    /// For each column its leaves, first choice first; never empty.
    columns: Vec<Vec<usize>>,
}

impl Wanted {
    /// The node of the record itself.
    pub(super) const ROOT: usize = 0;

    /// The fields of these columns.
    pub(super) fn new<'a>(columns: impl Iterator<Item = &'a Column>) -> Wanted {
        let mut wanted = Wanted {
            nodes: vec![Node::default()],
            paths: Vec::new(),
            columns: Vec::new(),
        };
        for column in columns {
            let own_name = [vec![column.name.clone()]];
            let paths = if column.paths.is_empty() {
                &own_name[..]
            } else {
                &column.paths[..]
            };
            let leaves = paths.iter().map(|path| wanted.add(path)).collect();
            wanted.columns.push(leaves);
        }
        wanted
    }

    fn add(&mut self, path: &[String]) -> usize {
        let mut node = Wanted::ROOT;
        for name in path {
            node = match self.child(node, name) {
                Some(child) => child,
                None => {
                    let child = self.nodes.len();
                    self.nodes.push(Node::default());
                    self.nodes[node].children.push((name.clone(), child));
                    child
                }
            };
        }
        let next = self.paths.len();
        let leaf = *self.nodes[node].leaf.get_or_insert(next);
        if leaf == next {
            self.paths.push(path.to_vec());
        }
        leaf
    }

    /// The field of that name below a node.
    pub(super) fn child(&self, node: usize, name: &str) -> Option<usize> {
        let children = &self.nodes[node].children;
        children
            .iter()
            .find(|(child, _)| child == name)
            .map(|&(_, child)| child)
    }

    /// The leaf at a node.
    pub(super) fn leaf(&self, node: usize) -> Option<usize> {
        self.nodes[node].leaf
    }

    /// Whether fields below the node are wanted.
    pub(super) fn has_children(&self, node: usize) -> bool {
        !self.nodes[node].children.is_empty()
    }

    /// The leaves at a node and below it.
    pub(super) fn leaves_below(&self, node: usize, each: &mut impl FnMut(usize)) {
        if let Some(leaf) = self.nodes[node].leaf {
            each(leaf);
        }
        for &(_, child) in &self.nodes[node].children {
            self.leaves_below(child, each);
        }
    }

    /// How many leaves there are.
    pub(super) fn leaves(&self) -> usize {
        self.paths.len()
    }

    /// The path of a leaf.
    pub(super) fn path(&self, leaf: usize) -> &[String] {
        &self.paths[leaf]
    }

    /// The leaves of a column, first choice first.
    pub(super) fn column(&self, column: usize) -> &[usize] {
        &self.columns[column]
    }
}
