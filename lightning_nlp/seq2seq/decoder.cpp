// A decoder of one LSTM layer that attends to the source and feeds back what it found, and its gradient.
//
// What needs no earlier step is left to matrix products outside: the vectors' share of the gates, the keys, and the
// gradients of all weights, keys and values. A task is some rows of the batch, from the first step to the last.
// Layouts, all dense: [time, batch, ...] for what has a time, [batch, source, ...] for keys and values. Names and
// equations are those of decoder.py. Numbers are float, or bfloat16 where the processor multiplies them.

#include <cmath>

#include "native.h"

struct Shape {
    long time, batch, source, hidden, value, output;
    const int64_t* lengths;  // [batch], of the source
};

// What a step leaves for the gradient and for the next one.
template <class T>
struct Trace {
    T* states;        // [time + 1, batch, hidden], the initial ones first
    float* cells;     // likewise
    T* activated;     // [time, batch, 4 * hidden], gates i, f, g, o
    T* contexts;      // [time, batch, value]
    float* weights;   // [time, batch, source], of attention; zeros to begin with
    T* seen;          // [time, batch, output], before dropout
    T* fed;           // [time + 1, batch, output], after it; zeros at first
    const T* kept;    // [time, batch, output], factors of dropout
};

static inline float sum_of(vec x) {
    float sum = 0;
    for (int lane = 0; lane < LANES; lane++) sum += x[lane];
    return sum;
}

template <class T>
static inline float dot(const T* one, const T* other, long n) {
    vec sum = {};
    for (long k = 0; k < n; k += LANES) sum += load(one + k) * load(other + k);
    return sum_of(sum);
}

// Attention of one row at one step: weights = softmax(keys . state), context = their mean of the values.
template <class T>
static void attend(const Shape& s, long row, const T* keys, const T* values, const T* state, float* weights, T* context) {
    const long length = s.lengths[row];
    const T *key = keys + row * s.source * s.hidden, *value = values + row * s.source * s.value;
    float most = -INFINITY, total = 0;
    for (long j = 0; j < length; j++) most = std::max(most, weights[j] = dot(key + j * s.hidden, state, s.hidden));
    for (long j = 0; j < length; j++) total += weights[j] = std::exp(weights[j] - most);
    for (long j = 0; j < length; j++) weights[j] /= total;
    for (long u = 0; u < s.value; u += LANES) {
        vec mean = {};
        for (long j = 0; j < length; j++) mean += weights[j] * load(value + j * s.value + u);
        store(context + u, mean);
    }
}

template <class T>
static void forward(const Shape& s, const T* ahead, const T* feeding, const T* recurrent, const T* combine,
                    const T* keys, const T* values, const Trace<T>& trace, long threads) {
    const long H = s.hidden, E = s.value, O = s.output;
    const auto from_fed = packed_gates(feeding, H, O, threads), from_state = packed_gates(recurrent, H, H, threads);
    const auto of_context = packed_columns(combine, E, O, 1, E + H, threads);
    const auto of_state = packed_columns(combine + E, H, O, 1, E + H, threads);
    const long parts = std::max(1L, std::min(threads, s.batch / ROWS)), rows = (s.batch + parts - 1) / parts;
    run_parts(parts, threads, [&](long part) {
        const long from = part * rows, to = std::min(s.batch, from + rows);
        for (long t = 0; t < s.time; t++) {
            const long now = t * s.batch, next = now + s.batch;
            for (long block = 0; block < H; block += LANES)
                in_groups(from, to, [&](auto count, long row) {
                    constexpr int R = decltype(count)::value;
                    vec sums[R][4];
                    for (int r = 0; r < R; r++)
                        for (int j = 0; j < 4; j++) sums[r][j] = load(ahead + ((now + row + r) * 4 + j) * H + block);
                    multiply<T, R>(trace.fed + (now + row) * O, O, from_fed.get() + block * 4 * O, O, sums);
                    multiply<T, R>(trace.states + (now + row) * H, H, from_state.get() + block * 4 * H, H, sums);
                    for (int r = 0; r < R; r++) {
                        const vec i = sigmoid(sums[r][0]), f = sigmoid(sums[r][1]);
                        const vec g = tanh(sums[r][2]), o = sigmoid(sums[r][3]);
                        const vec cell = f * load(trace.cells + (now + row + r) * H + block) + i * g;
                        store(trace.cells + (next + row + r) * H + block, cell);
                        store(trace.states + (next + row + r) * H + block, o * tanh(cell));
                        T* kept = trace.activated + (now + row + r) * 4 * H + block;
                        store(kept, i), store(kept + H, f), store(kept + 2 * H, g), store(kept + 3 * H, o);
                    }
                });
            for (long row = from; row < to; row++)
                attend(s, row, keys, values, trace.states + (next + row) * H, trace.weights + (now + row) * s.source,
                       trace.contexts + (now + row) * E);
            for (long block = 0; block < O; block += 4 * LANES)
                in_groups(from, to, [&](auto count, long row) {
                    constexpr int R = decltype(count)::value;
                    vec sums[R][4] = {};
                    multiply<T, R>(trace.contexts + (now + row) * E, E, of_context.get() + block * E, E, sums);
                    multiply<T, R>(trace.states + (next + row) * H, H, of_state.get() + block * H, H, sums);
                    for (int r = 0; r < R; r++)
                        for (int j = 0; j < 4 && block + j * LANES < O; j++) {
                            const long place = (now + row + r) * O + block + j * LANES;
                            const vec seen = tanh(sums[r][j]);
                            store(trace.seen + place, seen);
                            store(trace.fed + s.batch * O + place, seen * load(trace.kept + place));
                        }
                });
        }
    });
}

// Gradients that need a later step: of gates, of what combines context and state before its tanh, of contexts, and of
// the scores of attention; in the end those of the initial state.
template <class T>
struct Gradients {
    const T* outputs;  // [time, batch, output]
    T* gates;          // [time, batch, 4 * hidden]
    T* combined;       // [time, batch, output]
    T* contexts;       // [time, batch, value]
    float* scores;     // [time, batch, source]; zeros to begin with
    float* state;      // [batch, hidden]; zeros to begin with
    float* cell;       // likewise
};

// Adds to the gradient of a state what came through the scores of attention at one step of one row.
template <class T>
static void look_back(const Shape& s, long row, const T* keys, const T* values, const float* weights,
                      const float* d_context, float* d_scores, float* d_state) {
    const long length = s.lengths[row];
    const T *key = keys + row * s.source * s.hidden, *value = values + row * s.source * s.value;
    float mean = 0;
    for (long j = 0; j < length; j++) {
        vec sum = {};
        for (long u = 0; u < s.value; u += LANES) sum += load(d_context + u) * load(value + j * s.value + u);
        mean += weights[j] * (d_scores[j] = sum_of(sum));
    }
    for (long j = 0; j < length; j++) d_scores[j] = weights[j] * (d_scores[j] - mean);
    for (long u = 0; u < s.hidden; u += LANES) {
        vec sum = load(d_state + u);
        for (long j = 0; j < length; j++) sum += d_scores[j] * load(key + j * s.hidden + u);
        store(d_state + u, sum);
    }
}

template <class T>
static void backward(const Shape& s, const T* feeding, const T* recurrent, const T* combine, const T* keys,
                     const T* values, const Trace<T>& trace, const Gradients<T>& d, long threads) {
    const long H = s.hidden, E = s.value, O = s.output;
    const auto to_context = packed_columns(combine, O, E, E + H, 1, threads);
    const auto to_seen = packed_columns(combine + E, O, H, E + H, 1, threads);
    const auto to_fed = packed_columns(feeding, 4 * H, O, O, 1, threads);
    const auto to_state = packed_columns(recurrent, 4 * H, H, H, 1, threads);
    const long parts = std::max(1L, std::min(threads, s.batch / ROWS)), rows = (s.batch + parts - 1) / parts;
    run_parts(parts, threads, [&](long part) {
        const long from = part * rows, to = std::min(s.batch, from + rows), wide[3] = {in_blocks(E), in_blocks(H), in_blocks(O)};
        // Gradients that pass from step to step, of these rows: of the context, the state, and what was fed.
        std::vector<float> context(rows * wide[0]), state(rows * wide[1]), fed(rows * wide[2]);
        const auto product = [&](const T* given, long depth, const Array<T>& packed, std::vector<float>& sums,
                                 long width) {
            for (long block = 0; block < width; block += 4 * LANES)
                in_groups(from, to, [&](auto count, long row) {
                    constexpr int R = decltype(count)::value;
                    vec found[R][4];
                    float* place = sums.data() + (row - from) * width + block;
                    for (int r = 0; r < R; r++)
                        for (int j = 0; j < 4; j++) found[r][j] = load(place + r * width + j * LANES);
                    multiply<T, R>(given + row * depth, depth, packed.get() + block * depth, depth, found);
                    for (int r = 0; r < R; r++)
                        for (int j = 0; j < 4; j++) store(place + r * width + j * LANES, found[r][j]);
                });
        };
        for (long t = s.time - 1; t >= 0; t--) {
            const long now = t * s.batch, next = now + s.batch;
            for (long row = from; row < to; row++)
                for (long u = 0; u < O; u += LANES) {
                    const long place = (now + row) * O + u;
                    float* passed = fed.data() + (row - from) * wide[2] + u;
                    const vec seen = load(trace.seen + place), given = load(d.outputs + place) + load(passed);
                    store(d.combined + place, given * load(trace.kept + place) * (1.f - seen * seen));
                    store(passed, vec{});
                }
            std::fill(context.begin(), context.end(), 0.f);
            product(d.combined + now * O, O, to_context, context, wide[0]);
            product(d.combined + now * O, O, to_seen, state, wide[1]);
            for (long row = from; row < to; row++) {
                const float* of_context = context.data() + (row - from) * wide[0];
                float* const of_state = state.data() + (row - from) * wide[1];
                for (long u = 0; u < E; u += LANES) store(d.contexts + (now + row) * E + u, load(of_context + u));
                look_back(s, row, keys, values, trace.weights + (now + row) * s.source, of_context,
                          d.scores + (now + row) * s.source, of_state);
                for (long u = 0; u < H; u += LANES) {
                    const T* kept = trace.activated + (now + row) * 4 * H + u;
                    const vec i = load(kept), f = load(kept + H), g = load(kept + 2 * H), o = load(kept + 3 * H);
                    const vec cell = tanh(load(trace.cells + (next + row) * H + u)), dh = load(of_state + u);
                    const vec dc = load(d.cell + row * H + u) + dh * o * (1.f - cell * cell);
                    T* const gates = d.gates + (now + row) * 4 * H + u;
                    store(gates, dc * g * i * (1.f - i));
                    store(gates + H, dc * load(trace.cells + (now + row) * H + u) * f * (1.f - f));
                    store(gates + 2 * H, dc * i * (1.f - g * g));
                    store(gates + 3 * H, dh * cell * o * (1.f - o));
                    store(d.cell + row * H + u, dc * f);
                    store(of_state + u, vec{});
                }
            }
            product(d.gates + now * 4 * H, 4 * H, to_fed, fed, wide[2]);
            product(d.gates + now * 4 * H, 4 * H, to_state, state, wide[1]);
        }
        for (long row = from; row < to; row++)
            std::copy_n(state.data() + (row - from) * wide[1], H, d.state + row * H);
    });
}

// -- from Python ------------------------------------------------------------------------------------------------------

#define EXPORT(NAME, T)                                                                                               \
    extern "C" void NAME##_forward(const T* ahead, const T* feeding, const T* recurrent, const T* combine,           \
                                   const T* keys, const T* values, const T* kept, T* states, float* cells,           \
                                   T* activated, T* contexts, float* weights, T* seen, T* fed,                       \
                                   const int64_t* lengths, long time, long batch, long source, long hidden,          \
                                   long value, long output, long threads) {                                          \
        forward<T>({time, batch, source, hidden, value, output, lengths}, ahead, feeding, recurrent, combine, keys,  \
                   values, {states, cells, activated, contexts, weights, seen, fed, kept}, threads);                 \
    }                                                                                                                \
    extern "C" void NAME##_backward(const T* feeding, const T* recurrent, const T* combine, const T* keys,           \
                                    const T* values, const T* kept, T* states, float* cells, T* activated,           \
                                    T* contexts, float* weights, T* seen, T* fed, const T* outputs, T* gates,        \
                                    T* combined, T* d_contexts, float* scores, float* state, float* cell,            \
                                    const int64_t* lengths, long time, long batch, long source, long hidden,         \
                                    long value, long output, long threads) {                                         \
        backward<T>({time, batch, source, hidden, value, output, lengths}, feeding, recurrent, combine, keys,        \
                    values, {states, cells, activated, contexts, weights, seen, fed, kept},                          \
                    {outputs, gates, combined, d_contexts, scores, state, cell}, threads);                           \
    }

EXPORT(float32, float)
#ifdef __AVX512BF16__
EXPORT(bfloat16, Bfloat)
#endif
