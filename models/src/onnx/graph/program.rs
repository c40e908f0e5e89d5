//! What a graph is once it is read: steps over blocks of 64 rows.
//!
//! A value of the graph is some numbers of a row. Here each of these is 64 lanes, one a row, so that every step is the same for all
//! rows of a block, and a row's answer is its own matter: no sum goes over lanes. Steps only read what earlier ones have written.
//! Loops are plain; those that take the longest are compiled for AVX2 and AVX-512 too (to do so with all took minutes), which changes
//! no bit, as no rounding is left out.

use pelton_kernels::cpu::{self, Level};

use super::forest::Forest;
use super::functions::{Lane, Real};
use super::product::Matrix;

/// Rows of a block.
pub const LANES: usize = 64;

/// A number of each row of a block.
pub type Lanes<T> = [T; LANES];

/// What is known of a block's rows, by the kind of number.
#[derive(Default)]
pub struct Scratch {
    single: Vec<Lanes<f32>>,
    double: Vec<Lanes<f64>>,
    whole: Vec<Lanes<i64>>,
}

/// Numbers that a step reads, one for each that it writes.
#[derive(Clone, Debug)]
pub enum Operand<T> {
    /// Those from this place on.
    Rows(usize),
    /// Those of these places.
    Picked(Vec<usize>),
    /// The same for every row.
    Constants(Vec<T>),
    /// The same for every row and place.
    Constant(T),
}

impl<T: Lane> Operand<T> {
    /// The lanes of a number; `spare` takes those of a constant.
    #[inline(always)]
    fn get<'l>(&self, at: usize, known: &'l [Lanes<T>], spare: &'l mut Lanes<T>) -> &'l Lanes<T> {
        match self {
            Operand::Rows(first) => &known[first + at],
            Operand::Picked(places) => &known[places[at]],
            Operand::Constants(all) => {
                spare.fill(all[at]);
                spare
            }
            Operand::Constant(one) => {
                spare.fill(*one);
                spare
            }
        }
    }
}

/// Places whose numbers come together, as many for each answer.
#[derive(Clone, Debug)]
pub struct Groups {
    pub places: Vec<usize>,
    /// How many make one.
    pub each: usize,
}

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary<T> {
    Abs,
    Binarize(T),
    Ceil,
    Cos,
    Elu(T, T),
    Erf,
    Exp,
    Floor,
    Gelu,
    GeluTanh,
    HardSigmoid(T, T),
    Leaky(T),
    Log,
    Mish,
    Negative,
    Not,
    Reciprocal,
    Relu,
    Round,
    Sigmoid,
    Sign,
    Sin,
    Softplus,
    Softsign,
    Root,
    Swish(T),
    Tanh,
    Thresholded(T),
}

/// A function of two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Binary {
    Plus,
    Minus,
    Times,
    Over,
    Power,
    Most,
    Least,
    /// The second, where the first is below 0, is what it is multiplied by.
    Prelu,
    And,
    Or,
    Xor,
}

/// A question about two numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Question {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Equal,
    /// The first is NaN; or they are equal.
    Same,
}

/// How numbers come together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fold {
    Sum,
    Mean,
    Product,
    Most,
    Least,
    Sizes,
    Squares,
    /// The root of the sum of squares.
    Length,
    LogSum,
    LogSumExp,
}

/// What makes numbers of a kind out of such.
pub enum Work<T> {
    Map(Unary<T>, Operand<T>),
    Zip(Binary, Operand<T>, Operand<T>),
    Copy(Operand<T>),
    /// Of the second where the first is not 0, else of the third.
    Choose(Operand<i64>, Operand<T>, Operand<T>),
    /// Rows of a table by their numbers, those below 0 counted from its end; NaN where it has no such row.
    Embed {
        which: Operand<i64>,
        table: Vec<T>,
        /// Numbers of a row of the table.
        each: usize,
    },
    /// A run of numbers times a matrix, and the next.
    Times {
        from: usize,
        each: usize,
        matrix: Matrix<T>,
        outputs: usize,
    },
    Fold(Fold, Groups),
    /// Shares of `exp` that make one, written in the places' order; or their logarithms.
    Softmax(Groups, bool),
}

/// What makes whole numbers of others.
pub enum Ask<T> {
    Is(Question, Operand<T>, Operand<T>),
    /// Cut off.
    Whole(Operand<T>),
    /// The number of the greatest of a group, or of the least; of equal ones the first, or the last.
    Best {
        groups: Groups,
        least: bool,
        last: bool,
    },
}

/// A step; it writes so many numbers of its kind from a place on.
pub enum Step {
    /// Columns of the rows; cut to whole numbers or as they are.
    Load {
        kind: Kind,
        columns: std::ops::Range<usize>,
        cut: bool,
    },
    Single(Work<f32>),
    Double(Work<f64>),
    Whole(Work<i64>),
    OfSingle(Ask<f32>),
    OfDouble(Ask<f64>),
    OfWhole(Ask<i64>),
    Narrow(Operand<f64>),
    Widen(Operand<f32>),
    WholeToSingle(Operand<i64>),
    WholeToDouble(Operand<i64>),
    /// What a table has for each, or the same for those it does not know; in single precision.
    LookUp(Operand<i64>, std::collections::HashMap<i64, f32>, f32),
    /// Trees over these places.
    Forest(Box<Forest>, Operand<f32>),
    /// Likewise, over doubles.
    DoubleForest(Box<Forest>, Operand<f64>),
}

/// Kinds of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Single,
    Double,
    Whole,
    /// 0 and 1, which are kept as whole numbers.
    Truth,
}

/// Steps, in order.
#[derive(Default)]
pub struct Program {
    steps: Vec<(Step, usize, usize)>,
    sizes: [usize; 3],
}

impl Program {
    /// Adds a step that writes so many numbers, and says from where on.
    pub fn push(&mut self, kind: Kind, count: usize, step: Step) -> usize {
        let size = &mut self.sizes[match kind {
            Kind::Single => 0,
            Kind::Double => 1,
            Kind::Whole | Kind::Truth => 2,
        }];
        let into = *size;
        *size += count;
        self.steps.push((step, into, count));
        into
    }

    /// Numbers that a row has.
    pub fn size(&self) -> usize {
        self.sizes.iter().sum()
    }

    /// Room for a block.
    pub fn scratch(&self) -> Scratch {
        let [single, double, whole] = self.sizes;
        Scratch {
            single: vec![[0.0; LANES]; single],
            double: vec![[0.0; LANES]; double],
            whole: vec![[0; LANES]; whole],
        }
    }

    /// Computes a block of rows, of which there are `count` from `first` on.
    ///
    /// # Panics
    /// If the processor does not have the level.
    pub fn run(&self, level: Level, scratch: &mut Scratch, columns: &[&[f64]], first: usize, count: usize) {
        assert!(level <= cpu::level(), "the processor has no {}", level.name());
        let all = scratch;
        for (step, into, many) in &self.steps {
            let (at, many) = (*into, *many);
            match step {
                Step::Load { kind, columns: which, cut } => {
                    for (place, column) in columns[which.clone()].iter().enumerate() {
                        let column = &column[first..first + count];
                        // Cut apart, since that is slow.
                        match (kind, cut) {
                            (Kind::Single, false) => load(&mut all.single[at + place], column, |x| x as f32),
                            (Kind::Single, true) => load(&mut all.single[at + place], column, |x| x.trunc() as f32),
                            (Kind::Double, false) => load(&mut all.double[at + place], column, |x| x),
                            (Kind::Double, true) => load(&mut all.double[at + place], column, f64::trunc),
                            (Kind::Whole, _) => load(&mut all.whole[at + place], column, i64::of),
                            (Kind::Truth, _) => {
                                load(&mut all.whole[at + place], column, |x| i64::from(x != 0.0 && !x.is_nan()))
                            }
                        }
                    }
                }
                Step::Single(work) => real(level, work, &mut all.single, &all.whole, at, many),
                Step::Double(work) => real(level, work, &mut all.double, &all.whole, at, many),
                Step::Whole(work) => whole(work, &mut all.whole, at, many),
                Step::OfSingle(ask) => answer(ask, &all.single, &mut all.whole[at..][..many]),
                Step::OfDouble(ask) => answer(ask, &all.double, &mut all.whole[at..][..many]),
                Step::OfWhole(ask) => {
                    let (known, into) = all.whole.split_at_mut(at);
                    answer(ask, known, &mut into[..many]);
                }
                Step::Narrow(from) => each(from, &all.double, &mut all.single[at..][..many], |x| x as f32),
                Step::Widen(from) => each(from, &all.single, &mut all.double[at..][..many], f64::from),
                Step::WholeToSingle(from) => each(from, &all.whole, &mut all.single[at..][..many], |x| x as f32),
                Step::WholeToDouble(from) => each(from, &all.whole, &mut all.double[at..][..many], |x| x as f64),
                Step::LookUp(from, table, other) => {
                    each(from, &all.whole, &mut all.single[at..][..many], |x| table.get(&x).copied().unwrap_or(*other))
                }
                Step::Forest(forest, from) => {
                    let (known, into) = all.single.split_at_mut(at);
                    let rows: Vec<Lanes<f64>> = wide(from, known, forest.features());
                    forest.score(&rows, |place, row, score| into[place][row] = score as f32);
                }
                Step::DoubleForest(forest, from) if forest.is_double() => {
                    let (known, into) = all.double.split_at_mut(at);
                    let rows: Vec<Lanes<f64>> = wide(from, known, forest.features());
                    forest.score(&rows, |place, row, score| into[place][row] = score);
                }
                Step::DoubleForest(forest, from) => {
                    let rows: Vec<Lanes<f64>> = wide(from, &all.double, forest.features());
                    forest.score(&rows, |place, row, score| all.single[at + place][row] = score as f32);
                }
            }
        }
    }

    /// Numbers of a block as doubles.
    pub fn doubles(kind: Kind, from: usize, scratch: &Scratch) -> Lanes<f64> {
        match kind {
            Kind::Single => scratch.single[from].map(f64::from),
            Kind::Double => scratch.double[from],
            Kind::Whole | Kind::Truth => scratch.whole[from].map(|x| x as f64),
        }
    }

    /// Numbers of a block in single precision.
    pub fn singles(from: usize, scratch: &Scratch) -> &Lanes<f32> {
        &scratch.single[from]
    }
}

/// A column, and 0 in rows that are not there.
#[inline(always)]
fn load<T: Lane>(into: &mut Lanes<T>, column: &[f64], convert: impl Fn(f64) -> T) {
    for (into, x) in into.iter_mut().zip(column) {
        *into = convert(*x);
    }
    into[column.len()..].fill(T::default());
}

fn wide<T: Lane>(from: &Operand<T>, known: &[Lanes<T>], count: usize) -> Vec<Lanes<f64>> {
    let mut spare = [T::default(); LANES];
    (0..count).map(|at| from.get(at, known, &mut spare).map(Lane::to_f64)).collect()
}

#[inline(always)]
fn each<T: Lane, U>(from: &Operand<T>, known: &[Lanes<T>], into: &mut [Lanes<U>], convert: impl Fn(T) -> U) {
    let mut spare = [T::default(); LANES];
    for (at, into) in into.iter_mut().enumerate() {
        let from = from.get(at, known, &mut spare);
        for (into, x) in into.iter_mut().zip(from) {
            *into = convert(*x);
        }
    }
}

#[inline(always)]
fn pairs<T: Lane, U>(
    (a, b): (&Operand<T>, &Operand<T>),
    known: &[Lanes<T>],
    into: &mut [Lanes<U>],
    join: impl Fn(T, T) -> U,
) {
    let mut spare = [[T::default(); LANES]; 2];
    let [one, other] = &mut spare;
    for (at, into) in into.iter_mut().enumerate() {
        let (a, b) = (a.get(at, known, one), b.get(at, known, other));
        for ((into, a), b) in into.iter_mut().zip(a).zip(b) {
            *into = join(*a, *b);
        }
    }
}

/// What all kinds of numbers can do; false if it is something else.
fn any<T: Lane>(work: &Work<T>, known: &[Lanes<T>], into: &mut [Lanes<T>]) -> bool {
    match work {
        Work::Copy(from) => each(from, known, into, |x| x),
        Work::Map(Unary::Negative, from) => each(from, known, into, |x| x.negative()),
        Work::Map(Unary::Abs, from) => each(from, known, into, |x| if x < T::default() { x.negative() } else { x }),
        Work::Zip(function, a, b) => match function {
            Binary::Plus => pairs((a, b), known, into, T::plus),
            Binary::Minus => pairs((a, b), known, into, T::minus),
            Binary::Times => pairs((a, b), known, into, T::times),
            Binary::Over => pairs((a, b), known, into, T::over),
            Binary::Most => pairs((a, b), known, into, T::most),
            Binary::Least => pairs((a, b), known, into, T::least),
            _ => return false,
        },
        Work::Fold(fold, groups) => match fold {
            Fold::Sum => gather(groups, known, into, T::plus, |x| x),
            Fold::Product => folded(groups, known, into, T::ONE, T::times, |x| x),
            Fold::Most => first(groups, known, into, T::most),
            Fold::Least => first(groups, known, into, T::least),
            _ => return false,
        },
        _ => return false,
    }
    true
}

fn whole(work: &Work<i64>, all: &mut [Lanes<i64>], at: usize, many: usize) {
    let (known, into) = all.split_at_mut(at);
    let into = &mut into[..many];
    if any(work, known, into) {
        return;
    }
    let truth = |both: fn(bool, bool) -> bool| move |a: i64, b: i64| i64::from(both(a != 0, b != 0));
    match work {
        Work::Choose(which, yes, no) => choose((which, yes, no), known, known, into),
        Work::Map(Unary::Not, from) => each(from, known, into, |x| i64::from(x == 0)),
        Work::Map(Unary::Sign, from) => each(from, known, into, i64::signum),
        Work::Zip(Binary::And, a, b) => pairs((a, b), known, into, truth(|a, b| a & b)),
        Work::Zip(Binary::Or, a, b) => pairs((a, b), known, into, truth(|a, b| a | b)),
        Work::Zip(Binary::Xor, a, b) => pairs((a, b), known, into, truth(|a, b| a ^ b)),
        _ => unreachable!("reading makes no such step of whole numbers"),
    }
}

fn choose<T: Lane>(
    (which, yes, no): (&Operand<i64>, &Operand<T>, &Operand<T>),
    truths: &[Lanes<i64>],
    known: &[Lanes<T>],
    into: &mut [Lanes<T>],
) {
    let (mut truth, mut spare) = ([0; LANES], [[T::default(); LANES]; 2]);
    let [one, other] = &mut spare;
    for (at, into) in into.iter_mut().enumerate() {
        let (which, yes, no) = (which.get(at, truths, &mut truth), yes.get(at, known, one), no.get(at, known, other));
        for lane in 0..LANES {
            into[lane] = if which[lane] != 0 { yes[lane] } else { no[lane] };
        }
    }
}

fn real<T: Real>(level: Level, work: &Work<T>, all: &mut [Lanes<T>], truths: &[Lanes<i64>], at: usize, many: usize) {
    let (known, into) = all.split_at_mut(at);
    let into = &mut into[..many];
    if any(work, known, into) {
        return;
    }
    match work {
        Work::Choose(which, yes, no) => choose((which, yes, no), truths, known, into),
        Work::Embed { which, table, each } => embed((which, table, *each), truths, into),
        Work::Map(Unary::Exp | Unary::Sigmoid | Unary::Tanh, from) => curve(level, work, from, known, into),
        Work::Map(function, from) => map(*function, from, known, into),
        Work::Zip(Binary::Power, a, b) => pairs((a, b), known, into, T::power),
        Work::Zip(Binary::Prelu, a, b) => {
            pairs((a, b), known, into, |x, slope| if x < T::default() { x.times(slope) } else { x });
        }
        Work::Times { from, each, matrix, outputs } => {
            for (part, into) in into.chunks_exact_mut(*outputs).enumerate() {
                matrix.times(level, &known[from + part * each..][..*each], into);
            }
        }
        Work::Fold(fold, groups) => fold_real(*fold, groups, known, into),
        Work::Softmax(groups, log) => softmax(groups, *log, known, into),
        _ => unreachable!("reading makes no such step of numbers with fractions"),
    }
}

fn embed<T: Real>((which, table, each): (&Operand<i64>, &[T], usize), whole: &[Lanes<i64>], into: &mut [Lanes<T>]) {
    let mut spare = [0; LANES];
    let (size, none) = ((table.len() / each) as i64, T::of(f64::NAN));
    for (at, into) in into.chunks_exact_mut(each).enumerate() {
        for (lane, &number) in which.get(at, whole, &mut spare).iter().enumerate() {
            let number = if number < 0 { number.saturating_add(size) } else { number };
            let row = (0..size).contains(&number).then(|| &table[number as usize * each..][..each]);
            for (place, into) in into.iter_mut().enumerate() {
                into[lane] = row.map_or(none, |row| row[place]);
            }
        }
    }
}

/// The functions that take the longest, in the widest registers.
fn curve<T: Real>(level: Level, work: &Work<T>, from: &Operand<T>, known: &[Lanes<T>], into: &mut [Lanes<T>]) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn avx512<T: Real>(work: &Work<T>, from: &Operand<T>, known: &[Lanes<T>], into: &mut [Lanes<T>]) {
        plain(work, from, known, into);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn avx2<T: Real>(work: &Work<T>, from: &Operand<T>, known: &[Lanes<T>], into: &mut [Lanes<T>]) {
        plain(work, from, known, into);
    }

    #[inline(always)]
    fn plain<T: Real>(work: &Work<T>, from: &Operand<T>, known: &[Lanes<T>], into: &mut [Lanes<T>]) {
        match work {
            Work::Map(Unary::Exp, _) => each(from, known, into, T::exp),
            Work::Map(Unary::Sigmoid, _) => each(from, known, into, T::sigmoid),
            _ => each(from, known, into, T::tanh),
        }
    }

    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has the instructions, as `run` has made sure.
        Level::Avx512 => unsafe { avx512(work, from, known, into) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: likewise.
        Level::Avx2 => unsafe { avx2(work, from, known, into) },
        _ => plain(work, from, known, into),
    }
}

fn map<T: Real>(function: Unary<T>, from: &Operand<T>, known: &[Lanes<T>], into: &mut [Lanes<T>]) {
    let (zero, one) = (T::default(), T::ONE);
    if let Some(slow) = slow(function) {
        return each(from, known, into, |x| x.by(slow));
    }
    match function {
        Unary::Binarize(over) => each(from, known, into, |x| if x > over { one } else { zero }),
        Unary::Ceil => each(from, known, into, T::ceil),
        Unary::Elu(below, scale) => each(from, known, into, |x| {
            let y = if x < zero { below.times(x.exp().minus(one)) } else { x };
            scale.times(y)
        }),
        Unary::Floor => each(from, known, into, T::floor),
        Unary::HardSigmoid(slope, shift) => {
            each(from, known, into, |x| slope.times(x).plus(shift).most(zero).least(one));
        }
        Unary::Leaky(slope) => each(from, known, into, |x| if x < zero { x.times(slope) } else { x }),
        Unary::Mish => each(from, known, into, |x| x.times(x.by(softplus).tanh())),
        Unary::Reciprocal => each(from, known, into, |x| one.over(x)),
        Unary::Relu => each(from, known, into, |x| if x < zero { zero } else { x }),
        Unary::Round => each(from, known, into, T::round),
        Unary::Sign => each(from, known, into, |x| {
            let below = if x < zero { one.negative() } else { x };
            if x > zero { one } else { below }
        }),
        Unary::Softsign => each(from, known, into, |x| x.over(one.plus(x.size()))),
        Unary::Root => each(from, known, into, T::root),
        Unary::Swish(slope) => each(from, known, into, |x| x.times(slope.times(x).sigmoid())),
        Unary::Thresholded(over) => each(from, known, into, |x| if x > over { x } else { zero }),
        _ => unreachable!("done before, or not of such numbers"),
    }
}

fn softplus(x: f64) -> f64 {
    if x > 0.0 { x + libm::log1p(libm::exp(-x)) } else { libm::log1p(libm::exp(x)) }
}

fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2))
}

fn gelu_tanh(x: f64) -> f64 {
    let inner = 0.797_884_560_802_865_4 * (x + 0.044_715 * x * x * x);
    0.5 * x * (1.0 + libm::tanh(inner))
}

/// Functions that are computed number by number, in doubles.
fn slow<T>(function: Unary<T>) -> Option<fn(f64) -> f64> {
    Some(match function {
        Unary::Cos => libm::cos,
        Unary::Erf => libm::erf,
        Unary::Gelu => gelu,
        Unary::GeluTanh => gelu_tanh,
        Unary::Log => libm::log,
        Unary::Sin => libm::sin,
        Unary::Softplus => softplus,
        _ => return None,
    })
}

/// Adds up groups, from 0 on.
fn gather<T: Lane>(
    groups: &Groups,
    known: &[Lanes<T>],
    into: &mut [Lanes<T>],
    join: impl Fn(T, T) -> T,
    of: impl Fn(T) -> T,
) {
    folded(groups, known, into, T::default(), join, of);
}

fn folded<T: Lane>(
    groups: &Groups,
    known: &[Lanes<T>],
    into: &mut [Lanes<T>],
    start: T,
    join: impl Fn(T, T) -> T,
    of: impl Fn(T) -> T,
) {
    for (at, into) in into.iter_mut().enumerate() {
        let mut all = [start; LANES];
        for place in &groups.places[at * groups.each..][..groups.each] {
            for (all, x) in all.iter_mut().zip(&known[*place]) {
                *all = join(*all, of(*x));
            }
        }
        *into = all;
    }
}

/// Joins groups, from their first number on; there is one.
fn first<T: Lane>(groups: &Groups, known: &[Lanes<T>], into: &mut [Lanes<T>], join: impl Fn(T, T) -> T) {
    for (places, into) in groups.places.chunks_exact(groups.each).zip(into) {
        let mut all = known[places[0]];
        for place in &places[1..] {
            for (all, x) in all.iter_mut().zip(&known[*place]) {
                *all = join(*all, *x);
            }
        }
        *into = all;
    }
}

fn fold_real<T: Real>(fold: Fold, groups: &Groups, known: &[Lanes<T>], into: &mut [Lanes<T>]) {
    let after = |into: &mut [Lanes<T>], last: fn(T) -> T| {
        into.iter_mut().for_each(|into| into.iter_mut().for_each(|x| *x = last(*x)));
    };
    match fold {
        Fold::Mean => {
            gather(groups, known, into, T::plus, |x| x);
            let count = T::of(groups.each as f64);
            into.iter_mut().for_each(|into| into.iter_mut().for_each(|x| *x = x.over(count)));
        }
        Fold::Sizes => gather(groups, known, into, T::plus, T::size),
        Fold::Squares => gather(groups, known, into, T::plus, |x| x.times(x)),
        Fold::Length => {
            gather(groups, known, into, T::plus, |x| x.times(x));
            after(into, T::root);
        }
        Fold::LogSum => {
            gather(groups, known, into, T::plus, |x| x);
            after(into, |x| x.by(libm::log));
        }
        Fold::LogSumExp => {
            first(groups, known, into, T::most);
            for (places, into) in groups.places.chunks_exact(groups.each).zip(into) {
                let all = shares(places, into, known);
                for (most, all) in into.iter_mut().zip(&all) {
                    // What is infinite is so alone.
                    *most = if most.size() < T::of(f64::INFINITY) { all.by(libm::log).plus(*most) } else { *most };
                }
            }
        }
        Fold::Sum | Fold::Product | Fold::Most | Fold::Least => unreachable!("all numbers have these"),
    }
}

/// The sum of `exp` of what a group's numbers are above their greatest, which is `most`.
fn shares<T: Real>(places: &[usize], most: &Lanes<T>, known: &[Lanes<T>]) -> Lanes<T> {
    let mut all = [T::default(); LANES];
    for place in places {
        for ((all, x), most) in all.iter_mut().zip(&known[*place]).zip(most) {
            *all = all.plus(x.minus(*most).exp());
        }
    }
    all
}

fn softmax<T: Real>(groups: &Groups, log: bool, known: &[Lanes<T>], into: &mut [Lanes<T>]) {
    // A group's answers go where its numbers lie, counted from the first of all.
    let base = groups.places.iter().copied().min().unwrap_or(0);
    for places in groups.places.chunks_exact(groups.each) {
        let mut most = known[places[0]];
        for place in &places[1..] {
            most.iter_mut().zip(&known[*place]).for_each(|(most, x)| *most = most.most(*x));
        }
        let all = shares(places, &most, known);
        let logs = if log { all.map(|x| x.by(libm::log)) } else { all };
        for place in places {
            let into = &mut into[place - base];
            for lane in 0..LANES {
                let x = known[*place][lane].minus(most[lane]);
                into[lane] = if log { x.minus(logs[lane]) } else { x.exp().over(all[lane]) };
            }
        }
    }
}

fn answer<T: Lane>(ask: &Ask<T>, known: &[Lanes<T>], into: &mut [Lanes<i64>]) {
    match ask {
        Ask::Is(question, a, b) => match question {
            Question::Greater => pairs((a, b), known, into, |a, b| i64::from(a > b)),
            Question::GreaterOrEqual => pairs((a, b), known, into, |a, b| i64::from(a >= b)),
            Question::Less => pairs((a, b), known, into, |a, b| i64::from(a < b)),
            Question::LessOrEqual => pairs((a, b), known, into, |a, b| i64::from(a <= b)),
            Question::Equal => pairs((a, b), known, into, |a, b| i64::from(a == b)),
            Question::Same => pairs((a, b), known, into, |a, b| i64::from(a == b || !a.is_number() && !b.is_number())),
        },
        Ask::Whole(from) => each(from, known, into, |x| i64::of(x.to_f64())),
        Ask::Best { groups, least, last } => {
            for (places, into) in groups.places.chunks_exact(groups.each).zip(into) {
                let mut best = known[places[0]];
                *into = [0; LANES];
                for (number, place) in places.iter().enumerate().skip(1) {
                    for lane in 0..LANES {
                        let x = known[*place][lane];
                        let better = if *least { x < best[lane] } else { x > best[lane] };
                        if better || *last && x == best[lane] {
                            (best[lane], into[lane]) = (x, number as i64);
                        }
                    }
                }
            }
        }
    }
}
