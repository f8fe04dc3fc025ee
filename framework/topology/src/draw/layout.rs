//! Where boxes and arrows go: layers from left to right, boxes level with their neighbours, arrows between them.

use super::order::{Order, order};

/// A box or the place where an arrow passes a layer. `x` and `y` are its upper left corner.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rectangle {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// An arrow to be led from box to box.
pub(super) struct Edge {
    pub from: usize,
    pub to: usize,
    /// The width of its text, which stands before its end.
    pub label: f64,
}

/// A point of an arrow.
pub(super) type Point = (f64, f64);

/// A finished layout.
pub(super) struct Layout {
    pub boxes: Vec<Rectangle>,
    /// Start, two points for each layer that is passed, end; by edge.
    pub paths: Vec<Vec<Point>>,
    pub width: f64,
    pub height: f64,
}

/// From one item of a layer to the next.
const ROW_GAP: f64 = 22.0;
/// The height that a passing arrow is given.
const LANE: f64 = 6.0;
/// From one arrow to the next at the side of a box.
const PORT: f64 = 18.0;
/// Between two layers, beside what a label needs.
const BEND: f64 = 56.0;
const SWEEPS: usize = 10;

/// Lays boxes of these widths and heights out. Edges go from a box to a later one.
pub(super) fn layout(sizes: &[(f64, f64)], edges: &[Edge]) -> Layout {
    let arrows: Vec<(usize, usize)> = edges.iter().map(|edge| (edge.from, edge.to)).collect();
    let order = order(sizes.len(), &arrows);
    let mut items = vec![Rectangle { height: LANE, ..Rectangle::default() }; order.before.len()];
    for (box_, (width, height)) in sizes.iter().enumerate() {
        let ports = order.before[box_].len().max(order.after[box_].len()) as f64;
        items[box_] = Rectangle { x: 0.0, y: 0.0, width: *width, height: height.max((ports + 1.0) * PORT) };
    }
    let width = place_columns(&order, edges, &mut items);
    place_rows(&order, &mut items);
    let height = items.iter().map(|item| item.y + item.height).fold(0.0, f64::max);
    let paths = paths(&order, &items);
    items.truncate(sizes.len());
    Layout { boxes: items, paths, width, height }
}

/// Gives each layer its column; the gap before it is as wide as the labels in it.
fn place_columns(order: &Order, edges: &[Edge], items: &mut [Rectangle]) -> f64 {
    let mut x = 0.0;
    let mut right = 0.0;
    for (layer, members) in order.layers.iter().enumerate() {
        if layer > 0 {
            let labels = edges.iter().filter(|edge| members.contains(&edge.to)).map(|edge| edge.label);
            x = right + BEND + labels.fold(0.0, f64::max);
        }
        let width = members.iter().map(|item| items[*item].width).fold(0.0, f64::max);
        for item in members {
            items[*item].x = x;
            // All boxes of a column are equally wide: arrows then start and end in line.
            items[*item].width = width;
        }
        right = x + width;
    }
    right
}

/// Moves items as near to the height of their neighbours as the others of their layer let them.
fn place_rows(order: &Order, items: &mut [Rectangle]) {
    for members in &order.layers {
        settle(members, items, |_, item| item.y + item.height / 2.0);
    }
    for sweep in 0..SWEEPS {
        let layers: Vec<&Vec<usize>> = if sweep % 2 == 0 { order.layers.iter().collect() } else { order.layers.iter().rev().collect() };
        for members in layers {
            let middles: Vec<f64> = items.iter().map(|item| item.y + item.height / 2.0).collect();
            settle(members, items, |index, _| {
                let near = order.before[index].iter().chain(&order.after[index]);
                let count = order.before[index].len() + order.after[index].len();
                if count == 0 { middles[index] } else { near.map(|item| middles[*item]).sum::<f64>() / count as f64 }
            });
        }
    }
    let top = items.iter().map(|item| item.y).fold(f64::INFINITY, f64::min);
    items.iter_mut().for_each(|item| item.y -= top);
}

/// Places the items of a layer, in their order and with room between them, with the least sum of squared distances from
/// where each one's middle is wanted: neighbours that would overlap are joined and share the mean of what they want.
fn settle(members: &[usize], items: &mut [Rectangle], wanted: impl Fn(usize, &Rectangle) -> f64) {
    // A run of items that touch: how many they are, and the mean of the tops wanted for the first of them.
    let mut runs: Vec<(usize, f64)> = Vec::new();
    let mut offset = 0.0;
    let mut offsets = Vec::with_capacity(members.len());
    for item in members {
        offsets.push(offset);
        runs.push((1, wanted(*item, &items[*item]) - items[*item].height / 2.0 - offset));
        offset += items[*item].height + ROW_GAP;
        while let [.., (before, high), (after, low)] = runs[..] {
            if high <= low {
                break;
            }
            runs.truncate(runs.len() - 2);
            let all = before + after;
            runs.push((all, (high * before as f64 + low * after as f64) / all as f64));
        }
    }
    let tops = runs.into_iter().flat_map(|(count, top)| std::iter::repeat_n(top, count));
    for ((item, offset), top) in members.iter().zip(offsets).zip(tops) {
        items[*item].y = top + offset;
    }
}

fn paths(order: &Order, items: &[Rectangle]) -> Vec<Vec<Point>> {
    let path = |(edge, chain): (usize, &Vec<usize>)| {
        let mut points = Vec::new();
        for (at, item) in chain.iter().enumerate() {
            let rectangle = &items[*item];
            let passes = at > 0 && at + 1 < chain.len();
            if at > 0 {
                let y = if passes { rectangle.y + rectangle.height / 2.0 } else { port(order, items, *item, edge, false) };
                points.push((rectangle.x, y));
            }
            if at + 1 < chain.len() {
                let y = if passes { rectangle.y + rectangle.height / 2.0 } else { port(order, items, *item, edge, true) };
                points.push((rectangle.x + rectangle.width, y));
            }
        }
        points
    };
    order.chains.iter().enumerate().map(path).collect()
}

/// Where at the side of its box an arrow starts or ends: in the order of the other ends, so that they do not cross.
fn port(order: &Order, items: &[Rectangle], item: usize, edge: usize, outgoing: bool) -> f64 {
    let next = |chain: &[usize]| match outgoing {
        true => chain.first().filter(|first| **first == item).and(chain.get(1)).copied(),
        false => chain.last().filter(|last| **last == item).and(chain.get(chain.len().wrapping_sub(2))).copied(),
    };
    let mut ends: Vec<(f64, usize)> = order
        .chains
        .iter()
        .enumerate()
        .filter_map(|(index, chain)| next(chain).map(|other| (items[other].y + items[other].height / 2.0, index)))
        .collect();
    ends.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let at = ends.iter().position(|(_, index)| *index == edge).unwrap_or_default();
    let rectangle = &items[item];
    let middle = rectangle.y + rectangle.height / 2.0;
    middle + (at as f64 - (ends.len().saturating_sub(1)) as f64 / 2.0) * PORT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: usize, to: usize) -> Edge {
        Edge { from, to, label: 0.0 }
    }

    fn overlap(a: &Rectangle, b: &Rectangle) -> bool {
        a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
    }

    #[test]
    fn a_chain_is_a_straight_line() {
        let layout = layout(&[(100.0, 40.0), (80.0, 40.0), (100.0, 40.0)], &[edge(0, 1), edge(1, 2)]);
        assert!(layout.boxes.iter().all(|b| b.y == 0.0));
        assert!(layout.paths.iter().flatten().all(|(_, y)| *y == 20.0));
        assert_eq!(layout.width, 280.0 + 2.0 * BEND);
    }

    #[test]
    fn boxes_do_not_overlap_and_arrows_go_to_the_right() {
        let sizes = vec![(90.0, 50.0); 40];
        let edges: Vec<Edge> = (1..40).flat_map(|to| [edge(to / 2, to), edge((to * 7) % to, to)]).collect();
        let layout = layout(&sizes, &edges);
        for (i, a) in layout.boxes.iter().enumerate() {
            assert!(layout.boxes.iter().skip(i + 1).all(|b| !overlap(a, b)), "box {i} overlaps");
            assert!(a.y >= 0.0 && a.y + a.height <= layout.height && a.x + a.width <= layout.width);
        }
        for path in &layout.paths {
            assert!(path.windows(2).all(|pair| pair[0].0 <= pair[1].0), "{path:?}");
        }
    }

    #[test]
    fn neighbours_share_what_they_want() {
        let mut items = vec![Rectangle { height: 10.0, ..Rectangle::default() }; 3];
        settle(&[0, 1, 2], &mut items, |item, _| if item == 2 { 500.0 } else { 50.0 });
        assert_eq!(items[1].y - items[0].y, 10.0 + ROW_GAP);
        assert_eq!(f64::midpoint(items[0].y, items[1].y), 45.0);
        assert_eq!(items[2].y, 495.0);
    }
}
