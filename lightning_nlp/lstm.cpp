// The recurrence of a one-layer LSTM and its gradient: what is left once the inputs' share of the gates is known.
//
// A task is one direction of some rows of the batch, and runs alone from the first step to the last. In a step, the
// product of states and weights stays in registers until the gates are through with it. Layouts, all dense, by time:
//   gates    [time, batch, directions * 4 * hidden]   in the order i, f, g, o; their gradient likewise
//   states   [directions, time + 1, batch, hidden]    place 0 (or `time`, reading backwards) is the initial state
// See lstm.py for the equations' source. Numbers are float, or bfloat16 where the processor multiplies them.

#include "native.h"

struct Shape {
    long time, batch, hidden, directions;
    const int64_t* lengths;  // [batch]

    long gates(long t, long row, long direction) const {
        return ((t * batch + row) * directions + direction) * 4 * hidden;
    }
    long state(long place, long row, long direction) const {
        return ((direction * (time + 1) + place) * batch + row) * hidden;
    }
};

// Where a direction reads at its step-th step, and the places of the states before and after it.
struct Step {
    long t, before, after;
    Step(const Shape& s, long direction, long step)
        : t(direction ? s.time - 1 - step : step), before(direction ? t + 1 : t), after(direction ? t : t + 1) {}
};

// Calls task(direction, first row, last row + 1).
template <class F>
static void run_tasks(const Shape& s, long threads, F&& task) {
    const long parts = std::max(1L, std::min(threads / s.directions, s.batch / ROWS));
    const long rows = (s.batch + parts - 1) / parts;
    run_parts(parts * s.directions, threads, [&](long n) {
        const long from = n % parts * rows;
        if (from < s.batch) task(n / parts, from, std::min(s.batch, from + rows));
    });
}

// -- forward ----------------------------------------------------------------------------------------------------------

template <class T>
static void forward(const Shape& s, const T* inputs, const T* weights, T* states, float* cells, T* activated,
                    long threads) {
    const long H = s.hidden;
    std::vector<Array<T>> packed;
    for (long d = 0; d < s.directions; d++) packed.push_back(packed_gates(weights + d * 4 * H * H, H, H, threads));
    run_tasks(s, threads, [&](long d, long from, long to) {
        for (long step = 0; step < s.time; step++) {
            const Step at(s, d, step);
            for (long block = 0; block < H; block += LANES)
                in_groups(from, to, [&](auto count, long row) {
                    constexpr int R = decltype(count)::value;
                    vec sums[R][4];
                    for (int r = 0; r < R; r++)
                        for (int j = 0; j < 4; j++)
                            sums[r][j] = load(inputs + s.gates(at.t, row + r, d) + j * H + block);
                    multiply<T, R>(states + s.state(at.before, row, d), H, packed[d].get() + block * 4 * H, H, sums);
                    for (int r = 0; r < R; r++) {
                        const long before = s.state(at.before, row + r, d) + block;
                        const long after = s.state(at.after, row + r, d) + block;
                        if (at.t >= s.lengths[row + r]) {  // padding leaves the state as it is
                            store(cells + after, load(cells + before));
                            store(states + after, load(states + before));
                            continue;
                        }
                        const vec i = sigmoid(sums[r][0]), f = sigmoid(sums[r][1]);
                        const vec g = tanh(sums[r][2]), o = sigmoid(sums[r][3]);
                        const vec cell = f * load(cells + before) + i * g;
                        store(cells + after, cell);
                        store(states + after, o * tanh(cell));
                        if (activated) {
                            T* kept = activated + s.gates(at.t, row + r, d) + block;
                            store(kept, i), store(kept + H, f), store(kept + 2 * H, g), store(kept + 3 * H, o);
                        }
                    }
                });
        }
    });
}

// -- backward ---------------------------------------------------------------------------------------------------------

template <class T>
static void backward(const Shape& s, const T* weights, const float* cells, const T* activated, const T* d_outputs,
                     float* d_states, float* d_cells, T* d_gates, long threads) {
    const long H = s.hidden, width = in_blocks(H);
    std::vector<Array<T>> packed;
    for (long d = 0; d < s.directions; d++)
        packed.push_back(packed_columns(weights + d * 4 * H * H, 4 * H, H, H, 1, threads));
    run_tasks(s, threads, [&](long d, long from, long to) {
        std::vector<float> passed((to - from) * width);  // gradients of the states after a step
        float* const d_state = d_states + d * s.batch * H;
        for (long row = from; row < to; row++)
            std::copy_n(d_state + row * H, H, passed.data() + (row - from) * width);
        for (long step = s.time - 1; step >= 0; step--) {
            const Step at(s, d, step);
            for (long row = from; row < to; row++) {
                const long gates = s.gates(at.t, row, d), outputs = ((at.t * s.batch + row) * s.directions + d) * H;
                if (at.t >= s.lengths[row]) {
                    std::fill_n(d_gates + gates, 4 * H, T{});
                    continue;
                }
                for (long u = 0; u < H; u += LANES) {
                    const T* kept = activated + gates + u;
                    const vec i = load(kept), f = load(kept + H), g = load(kept + 2 * H), o = load(kept + 3 * H);
                    const vec cell = tanh(load(cells + s.state(at.after, row, d) + u));
                    float* const down = passed.data() + (row - from) * width + u;
                    float* const d_cell = d_cells + (d * s.batch + row) * H + u;
                    const vec dh = load(down) + load(d_outputs + outputs + u);
                    const vec dc = load(d_cell) + dh * o * (1.f - cell * cell);
                    T* const to_gates = d_gates + gates + u;
                    store(to_gates, dc * g * i * (1.f - i));
                    store(to_gates + H, dc * load(cells + s.state(at.before, row, d) + u) * f * (1.f - f));
                    store(to_gates + 2 * H, dc * i * (1.f - g * g));
                    store(to_gates + 3 * H, dh * cell * o * (1.f - o));
                    store(d_cell, dc * f);
                    store(down, vec{});
                }
            }
            for (long block = 0; block < width; block += 4 * LANES)
                in_groups(from, to, [&](auto count, long row) {
                    constexpr int R = decltype(count)::value;
                    vec sums[R][4];
                    float* const down = passed.data() + (row - from) * width + block;
                    for (int r = 0; r < R; r++)
                        for (int j = 0; j < 4; j++) sums[r][j] = load(down + r * width + j * LANES);
                    multiply<T, R>(d_gates + s.gates(at.t, row, d), s.directions * 4 * H,
                                   packed[d].get() + block * 4 * H, 4 * H, sums);
                    for (int r = 0; r < R; r++)
                        for (int j = 0; j < 4; j++) store(down + r * width + j * LANES, sums[r][j]);
                });
        }
        for (long row = from; row < to; row++)
            std::copy_n(passed.data() + (row - from) * width, H, d_state + row * H);
    });
}

// -- from Python ------------------------------------------------------------------------------------------------------

#define EXPORT(NAME, T)                                                                                               \
    extern "C" void NAME##_forward(const T* inputs, const T* weights, T* states, float* cells, T* activated,         \
                                   const int64_t* lengths, long time, long batch, long hidden, long directions,      \
                                   long threads) {                                                                   \
        forward<T>({time, batch, hidden, directions, lengths}, inputs, weights, states, cells, activated, threads);  \
    }                                                                                                                \
    extern "C" void NAME##_backward(const T* weights, const float* cells, const T* activated, const T* d_outputs,    \
                                    float* d_states, float* d_cells, T* d_gates, const int64_t* lengths, long time,  \
                                    long batch, long hidden, long directions, long threads) {                        \
        backward<T>({time, batch, hidden, directions, lengths}, weights, cells, activated, d_outputs, d_states,      \
                    d_cells, d_gates, threads);                                                                      \
    }

EXPORT(float32, float)
#ifdef __AVX512BF16__
EXPORT(bfloat16, Bfloat)
#endif
