//! The generator of CPython's `random.Random`: the Mersenne Twister MT19937 (Matsumoto and Nishimura 1998)
//! with the methods that published benchmarks draw their texts by, bit for bit.

/// Words of the state.
const N: usize = 624;
/// The word that a new one is mixed with.
const M: usize = 397;

/// `random.Random(seed)`.
///
/// ```
/// let mut random = niah::rng::PythonRandom::new(123);
/// assert_eq!(random.random(), 0.052363598850944326);
/// ```
#[derive(Debug, Clone)]
pub struct PythonRandom {
    state: [u32; N],
    next: usize,
}

impl PythonRandom {
    /// The generator that a whole number seeds.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let words = [seed as u32, (seed >> 32) as u32];
        let key = if words[1] == 0 { &words[..1] } else { &words[..] };
        let mut state = [0u32; N];
        state[0] = 19_650_218;
        for i in 1..N {
            state[i] =
                (state[i - 1] ^ (state[i - 1] >> 30)).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        let mut i = 1;
        for step in 0..N {
            let word = step % key.len();
            let mixed = (state[i - 1] ^ (state[i - 1] >> 30)).wrapping_mul(1_664_525);
            state[i] = (state[i] ^ mixed).wrapping_add(key[word]).wrapping_add(word as u32);
            i = following(i, &mut state);
        }
        for _ in 1..N {
            let mixed = (state[i - 1] ^ (state[i - 1] >> 30)).wrapping_mul(1_566_083_941);
            state[i] = (state[i] ^ mixed).wrapping_sub(i as u32);
            i = following(i, &mut state);
        }
        state[0] = 1 << 31;
        Self { state, next: N }
    }

    fn word(&mut self) -> u32 {
        if self.next == N {
            for i in 0..N {
                let y = (self.state[i] & (1 << 31)) | (self.state[(i + 1) % N] & !(1 << 31));
                let twist = if y & 1 == 1 { 0x9908_B0DF } else { 0 };
                self.state[i] = self.state[(i + M) % N] ^ (y >> 1) ^ twist;
            }
            self.next = 0;
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9D2C_5680;
        y ^= (y << 15) & 0xEFC6_0000;
        y ^ (y >> 18)
    }

    /// `random()`: a uniform number in `[0, 1)` with 53 random bits.
    pub fn random(&mut self) -> f64 {
        let (high, low) = (self.word() >> 5, self.word() >> 6);
        (f64::from(high) * f64::from(1 << 26) + f64::from(low)) / (1u64 << 53) as f64
    }

    /// `randrange(bound)`: a uniform number in `0..bound`; 0 for an empty range.
    pub fn below(&mut self, bound: u32) -> u32 {
        let bits = u32::BITS - bound.leading_zeros();
        loop {
            let drawn = if bits == 0 { 0 } else { self.word() >> (u32::BITS - bits) };
            if drawn < bound || bound == 0 {
                return drawn;
            }
        }
    }

    /// `sample(range(bound), count)` of a range much larger than the sample
    /// (`bound > 21 + 4^⌈log4 3 count⌉`); numbers that `accept` refuses are drawn again, as those that were
    /// drawn before are.
    pub fn sample(&mut self, bound: u32, count: usize, accept: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut sample = Vec::with_capacity(count);
        while sample.len() < count {
            let drawn = self.below(bound);
            if !sample.contains(&drawn) && accept(drawn) {
                sample.push(drawn);
            }
        }
        sample
    }

    /// `shuffle(items)`.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u32 + 1) as usize);
        }
    }

    /// `choices(range(len(weights)), weights, k=count)`: indices, each as often as its weight says.
    pub fn choices(&mut self, weights: &[u32], count: usize) -> Vec<usize> {
        let mut total = 0;
        let sum = |&weight: &u32| {
            total += u64::from(weight);
            total as f64
        };
        let sums: Vec<f64> = weights.iter().map(sum).collect();
        let last = sums.len().saturating_sub(1);
        let place = |random: f64| sums.partition_point(|&sum| sum <= random * total as f64).min(last);
        (0..count).map(|_| place(self.random())).collect()
    }
}

/// The word behind word `i`; after the last one comes the second, with the last in the place of the first.
fn following(i: usize, state: &mut [u32; N]) -> usize {
    if i + 1 < N {
        return i + 1;
    }
    state[0] = state[N - 1];
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by CPython 3.
    #[test]
    fn numbers_are_those_of_cpython() {
        let mut random = PythonRandom::new(7696581394555);
        assert_eq!(
            [(); 3].map(|()| random.random()),
            [0.3206148734439316, 0.9998415693349813, 0.5119048365847536]
        );
        assert_eq!(random.sample(900_000, 5, |_| true), [805549, 644122, 94142, 159468, 21200]);
        let mut items: Vec<u32> = (0..10).collect();
        random.shuffle(&mut items);
        assert_eq!(items, [6, 1, 7, 0, 5, 8, 4, 9, 3, 2]);
        assert_eq!(random.choices(&[0, 1, 2, 4], 8), [2, 2, 3, 1, 3, 3, 1, 1]);
        // Past the first 624 words the state is made anew.
        let later = (0..2000).map(|_| random.below(1000)).last();
        assert_eq!(later, Some(371));
        assert_eq!(PythonRandom::new(0).random(), 0.8444218515250481);
    }
}
