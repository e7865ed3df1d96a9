//! Scales of charts: where a value lies, and which values are written beside the axis.

/// How values become places along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// From zero, the same length for the same difference.
    Linear,
    /// Seconds from zero.
    Seconds,
    /// The same length for the same factor.
    Logarithmic,
    /// Quantiles, the same length for each further nine: 90 %, 99 %, 99.9 %.
    Nines,
}

/// A part of a scale, as an axis shows it.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    scale: Scale,
    /// Bounds, as places on the scale.
    from: f64,
    to: f64,
    /// Values that are written, with their text.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Scale {
    /// The axis that shows all of `values`.
    pub(super) fn axis(self, values: impl Iterator<Item = f64> + Clone) -> Axis {
        let max = values.clone().fold(f64::MIN, f64::max);
        let min = values.fold(f64::MAX, f64::min);
        let ticks = match self {
            Self::Linear => even_ticks(max),
            Self::Seconds => {
                even_ticks(max).into_iter().map(|(at, text)| (at, text + " s")).collect()
            }
            Self::Logarithmic => logarithmic_ticks(min, max),
            Self::Nines => nines_ticks(max),
        };
        let last_tick = ticks.last().map_or(max, |(value, _)| *value);
        let (from, to) = match self {
            Self::Linear => (0.0, last_tick.max(max)),
            Self::Seconds => (0.0, max),
            Self::Logarithmic => {
                let first_tick = ticks.first().map_or(min, |(value, _)| *value);
                (first_tick.min(min).log10(), last_tick.max(max).log10())
            }
            Self::Nines => (0.0, self.place(max)),
        };
        Axis { scale: self, from, to, ticks }
    }

    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear | Self::Seconds => value,
            Self::Logarithmic => value.log10(),
            Self::Nines => -(1.0 - value).log10(),
        }
    }
}

impl Axis {
    /// Whether `value` lies on it.
    pub(super) fn holds(&self, value: f64) -> bool {
        (self.from..=self.to).contains(&self.scale.place(value))
    }

    /// Where `value` lies, from 0 to 1.
    pub(super) fn at(&self, value: f64) -> f64 {
        let length = (self.to - self.from).max(f64::EPSILON);
        ((self.scale.place(value) - self.from) / length).clamp(0.0, 1.0)
    }
}

/// Four to ten round numbers from zero to the first that is not below `max`.
fn even_ticks(max: f64) -> Vec<(f64, String)> {
    let max = max.max(1.0);
    let digit = 10_f64.powf(max.log10().floor());
    let step = [0.2, 0.5, 1.0].map(|part| part * digit).into_iter().find(|step| max / step <= 6.0);
    let step = step.unwrap_or(2.0 * digit).max(0.1);
    let count = (max / step - 1e-9).ceil();
    let ticks = (0..).map(f64::from).take_while(|n| *n <= count);
    ticks.map(|n| (n * step, number(n * step))).collect()
}

/// 1, 2 and 5 of each power of ten around what there is, or 1 alone where those would be too many.
fn logarithmic_ticks(min: f64, max: f64) -> Vec<(f64, String)> {
    const FACTOR_MAX: f64 = 1_000.0;
    if min <= 0.0 || min > max {
        return Vec::new();
    }
    let powers = (min.log10().floor() as i32)..=(max.log10().ceil() as i32);
    let parts: &[f64] = if max / min > FACTOR_MAX { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let of_power = |power| parts.iter().map(move |part| part * 10_f64.powi(power));
    let all: Vec<f64> = powers.flat_map(of_power).collect();
    let first = all.iter().rposition(|tick| *tick <= min).unwrap_or_default();
    let last = all.iter().position(|tick| *tick >= max).unwrap_or(all.len() - 1);
    all[first..=last].iter().map(|tick| (*tick, number(*tick))).collect()
}

fn nines_ticks(max: f64) -> Vec<(f64, String)> {
    let all = [
        (0.0, "0 %"),
        (0.5, "50 %"),
        (0.9, "90 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
        (0.9999, "99.99 %"),
        (0.99999, "99.999 %"),
    ];
    let within = all.into_iter().filter(|(quantile, _)| *quantile <= max);
    within.map(|(quantile, text)| (quantile, text.to_owned())).collect()
}

/// A number without needless digits, thousands apart.
pub(super) fn number(value: f64) -> String {
    if value.fract() != 0.0 {
        let digits = if value < 0.1 { 3 } else { 2 };
        let text = format!("{value:.digits$}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn linear_axes_begin_at_zero_and_end_at_a_round_number() {
        let axis = Scale::Linear.axis([30.0, 6_100.0].into_iter());
        assert_eq!(texts(&axis), ["0", "2,000", "4,000", "6,000", "8,000"]);
        assert_eq!(axis.at(4_000.0), 0.5);
        let axis = Scale::Linear.axis([0.0].into_iter());
        assert_eq!(axis.at(0.0), 0.0);
    }

    #[test]
    fn logarithmic_axes_have_the_same_length_for_each_factor() {
        let axis = Scale::Logarithmic.axis([0.7, 90.0].into_iter());
        assert_eq!(texts(&axis), ["0.5", "1", "2", "5", "10", "20", "50", "100"]);
        let wide = Scale::Logarithmic.axis([0.7, 2_000.0].into_iter());
        assert_eq!(texts(&wide), ["0.1", "1", "10", "100", "1,000", "10,000"]);
        let step = axis.at(10.0) - axis.at(1.0);
        assert!((axis.at(100.0) - axis.at(10.0) - step).abs() < 1e-9);
    }

    #[test]
    fn quantiles_have_the_same_length_for_each_nine() {
        let axis = Scale::Nines.axis([0.0, 0.9999].into_iter());
        assert_eq!(texts(&axis), ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        for (quantile, place) in [(0.0, 0.0), (0.9, 0.25), (0.99, 0.5), (0.999, 0.75)] {
            assert!((axis.at(quantile) - place).abs() < 1e-9, "{quantile}");
        }
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 0.005, 0.25, 2.5, 999.0, 12_345.0, 1_234_567.0].map(number);
        assert_eq!(texts, ["0", "0.005", "0.25", "2.5", "999", "12,345", "1,234,567"]);
    }
}
