//! Which items of a drawing stand in which layer, and above which others: as few crossings as a few sweeps find.
//!
//! An arrow that passes layers has an item of its own in each of them, so that it is led between boxes and not through them.

/// The items of all layers, in order from top to bottom, and the arrows as chains of items.
pub(super) struct Order {
    /// Items by layer.
    pub layers: Vec<Vec<usize>>,
    /// Items from the writer to the reader, by arrow. Items below the number of boxes are boxes.
    pub chains: Vec<Vec<usize>>,
    /// The neighbours of each item in the layer before it and after it.
    pub before: Vec<Vec<usize>>,
    pub after: Vec<Vec<usize>>,
}

/// How often the layers are gone through. More has never been seen to help.
const SWEEPS: usize = 12;

/// Orders `boxes` boxes; `arrows` go from a box to a later one.
pub(super) fn order(boxes: usize, arrows: &[(usize, usize)]) -> Order {
    let mut order = Order::first(&layers_of(boxes, arrows), arrows);
    let mut best = (order.crossings(), order.layers.clone());
    for sweep in 0..SWEEPS {
        order.sweep(sweep % 2 == 0);
        let crossings = order.crossings();
        if crossings < best.0 {
            best = (crossings, order.layers.clone());
        }
    }
    order.layers = best.1;
    order
}

/// The layer of each box: behind all it reads, and no further left of its readers than need be.
fn layers_of(boxes: usize, arrows: &[(usize, usize)]) -> Vec<usize> {
    let mut layers = vec![0; boxes];
    let mut sorted = arrows.to_vec();
    sorted.sort_unstable_by_key(|(_, to)| *to);
    for (from, to) in sorted {
        layers[to] = layers[to].max(layers[from] + 1);
    }
    for node in 0..boxes {
        let is_source = arrows.iter().all(|(_, to)| *to != node);
        let first_reader = arrows.iter().filter(|(from, _)| *from == node).map(|(_, to)| layers[*to]).min();
        if let Some(first) = first_reader.filter(|_| is_source) {
            layers[node] = first - 1;
        }
    }
    layers
}

impl Order {
    fn first(layer_of: &[usize], arrows: &[(usize, usize)]) -> Order {
        let count = layer_of.iter().max().map_or(0, |last| last + 1);
        let mut order = Order { layers: vec![Vec::new(); count], chains: Vec::new(), before: Vec::new(), after: Vec::new() };
        for layer in layer_of {
            order.add(*layer);
        }
        for (from, to) in arrows {
            let mut chain = vec![*from];
            chain.extend((layer_of[*from] + 1..layer_of[*to]).map(|layer| order.add(layer)));
            chain.push(*to);
            for pair in chain.windows(2) {
                order.after[pair[0]].push(pair[1]);
                order.before[pair[1]].push(pair[0]);
            }
            order.chains.push(chain);
        }
        order
    }

    fn add(&mut self, layer: usize) -> usize {
        let item = self.before.len();
        self.before.push(Vec::new());
        self.after.push(Vec::new());
        self.layers[layer].push(item);
        item
    }

    /// Puts each item where its neighbours in the layer just passed are, on average.
    fn sweep(&mut self, forward: bool) {
        let mut rank = vec![0; self.before.len()];
        let mut place: Vec<usize> = (0..self.layers.len()).collect();
        if !forward {
            place.reverse();
        }
        for layer in place {
            let neighbours = if forward { &self.before } else { &self.after };
            let mut items = std::mem::take(&mut self.layers[layer]);
            let wanted = |at: usize, item: usize| {
                let near = &neighbours[item];
                if near.is_empty() { at as f64 } else { near.iter().map(|item| rank[*item]).sum::<usize>() as f64 / near.len() as f64 }
            };
            let mut keyed: Vec<(f64, usize)> = items.iter().enumerate().map(|(at, item)| (wanted(at, *item), *item)).collect();
            keyed.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            items = keyed.into_iter().map(|(_, item)| item).collect();
            items.iter().enumerate().for_each(|(at, item)| rank[*item] = at);
            self.layers[layer] = items;
        }
    }

    /// How many pairs of arrows cross between layers.
    fn crossings(&self) -> usize {
        let mut rank = vec![0; self.before.len()];
        for layer in &self.layers {
            layer.iter().enumerate().for_each(|(at, item)| rank[*item] = at);
        }
        let crossings = |layer: &Vec<usize>| {
            let mut ends: Vec<usize> = Vec::new();
            let mut count = 0;
            for item in layer {
                let mut own: Vec<usize> = self.after[*item].iter().map(|next| rank[*next]).collect();
                own.sort_unstable();
                count += own.iter().map(|end| ends.len() - ends.partition_point(|earlier| earlier <= end)).sum::<usize>();
                ends.extend(own);
                ends.sort_unstable();
            }
            count
        };
        self.layers.iter().map(crossings).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_stand_before_their_readers_and_long_arrows_have_items() {
        // A chain of four, an arrow past it, and a branch at its third.
        let order = order(5, &[(0, 1), (1, 2), (2, 3), (0, 3), (2, 4)]);
        assert_eq!(order.layers.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 2, 2]);
        assert_eq!(order.chains[3].len(), 4, "an arrow over two layers is led through both");
        assert_eq!(layers_of(4, &[(0, 2), (2, 3), (1, 3)]), [0, 1, 1, 2], "a source is pulled to its reader");
    }

    #[test]
    fn what_need_not_cross_does_not() {
        // Two sources whose readers are declared the other way round.
        let order = order(6, &[(0, 3), (1, 2), (2, 5), (3, 4)]);
        assert_eq!(order.crossings(), 0);
        // Two arrows from two boxes to the same two boxes cross once, whatever is done.
        assert_eq!(super::order(4, &[(0, 2), (0, 3), (1, 2), (1, 3)]).crossings(), 1);
    }

    #[test]
    fn nothing_is_in_order() {
        assert!(order(0, &[]).layers.is_empty());
    }
}
