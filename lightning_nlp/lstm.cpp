// The recurrence of a one-layer LSTM and its gradient: what is left once the inputs' share of the gates is known.
//
// A task is one direction of some rows of the batch, and runs alone from the first step to the last. In a step, the
// product of states and weights stays in registers until the gates are through with it. Layouts, all dense, by time:
//   gates    [time, batch, directions * 4 * hidden]   in the order i, f, g, o; their gradient likewise
//   states   [directions, time + 1, batch, hidden]    place 0 (or `time`, reading backwards) is the initial state
// See lstm.py for the equations' source. Numbers are float, or bfloat16 where the processor multiplies them.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

constexpr int LANES = 16;  // numbers of a vector register
#ifdef __AVX512F__
constexpr int ROWS = 6;  // of the batch multiplied together: 6 x 4 sums fill the 32 registers
#else
constexpr int ROWS = 2;
#endif

typedef float vec __attribute__((vector_size(64), aligned(4)));
typedef int32_t ints __attribute__((vector_size(64), aligned(4)));

// -- numbers ----------------------------------------------------------------------------------------------------------

struct Bfloat {
    uint16_t bits;
};

static inline vec load(const float* from) { return *(const vec*)from; }
static inline void store(float* to, vec x) { *(vec*)to = x; }
static inline vec multiply_add(const float* one, const float* many, vec sum) { return *one * load(many) + sum; }

#ifdef __AVX512BF16__
static inline vec load(const Bfloat* from) {
    return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)from)), 16);
}
static inline void store(Bfloat* to, vec x) {
    _mm256_storeu_si256((__m256i*)to, (__m256i)_mm512_cvtneps_pbh((__m512)x));
}
// Multiplies pairs and adds both products.
static inline vec multiply_add(const Bfloat* one, const Bfloat* many, vec sum) {
    const __m512i pair = _mm512_set1_epi32(*(const int32_t*)one);
    return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_loadu_si512(many), (__m512bh)pair);
}
#endif

template <class T>
constexpr int PAIR = sizeof(T) == 2 ? 2 : 1;  // neighbours that one instruction multiplies and adds

// e^x for x <= 0, relative error 1e-7; 0 from -87 down.
static inline vec exp(vec x) {
    x *= 1.44269504f;
    const vec whole = (x + 12582912.f) - 12582912.f, f = x - whole;  // adding 1.5 * 2^23 rounds to a whole number
    vec p = 1.535336188e-4f * f + 1.339887440e-3f;
    p = p * f + 9.618437357e-3f;
    p = p * f + 5.550332548e-2f;
    p = p * f + 2.402264791e-1f;
    p = p * f + 6.931472028e-1f;
    p = p * f + 1.f;
    const vec kept = x < -125.f ? vec{} : whole;
    return x < -125.f ? vec{} : (vec)((ints)p + (__builtin_convertvector(kept, ints) << 23));
}

static inline vec sigmoid(vec x) {
    const vec e = exp(x < 0.f ? x : -x);
    return (x < 0.f ? e : vec{} + 1.f) / (1.f + e);
}

static inline vec tanh(vec x) {
    const vec e = exp((x < 0.f ? x : -x) * 2.f), size = (1.f - e) / (1.f + e);
    return x < 0.f ? -size : size;
}

// -- products ---------------------------------------------------------------------------------------------------------

// Adds to 4 x 16 sums of each row the products of its numbers with weights packed [depth / PAIR, 4, 16, PAIR].
template <class T, int R>
static inline void multiply(const T* rows, long stride, const T* packed, long depth, vec (&sums)[R][4]) {
    for (long k = 0; k < depth; k += PAIR<T>, packed += 4 * LANES * PAIR<T>)
#pragma GCC unroll 6
        for (int r = 0; r < R; r++)
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                sums[r][j] = multiply_add(rows + r * stride + k, packed + j * LANES * PAIR<T>, sums[r][j]);
}

// Calls f.template operator()<R>(row) for groups of R rows.
template <class F>
static void in_groups(long from, long to, F&& f) {
    for (; to - from >= ROWS; from += ROWS) f(std::integral_constant<int, ROWS>(), from);
    for (; to - from >= 2; from += 2) f(std::integral_constant<int, 2>(), from);
    if (from < to) f(std::integral_constant<int, 1>(), from);
}

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

template <class F>
static void run_tasks(const Shape& s, long threads, F&& task) {
    const long parts = std::max(1L, std::min(threads / s.directions, s.batch / ROWS));
    const long rows = (s.batch + parts - 1) / parts;
    std::atomic<long> next{0};
    auto work = [&] {
        for (long n; (n = next++) < parts * s.directions;)
            task(n / parts, n % parts * rows, std::min(s.batch, (n % parts + 1) * rows));
    };
    std::vector<std::thread> pool;
    for (long n = 1; n < std::min(threads, parts * s.directions); n++) pool.emplace_back(work);
    work();
    for (auto& thread : pool) thread.join();
}

// -- forward ----------------------------------------------------------------------------------------------------------

// Weights [4 * hidden, hidden] by blocks of 16 units: [hidden / 16, hidden / PAIR, gate, unit, PAIR].
template <class T>
static std::vector<T> packed_by_unit(const T* weights, long hidden) {
    std::vector<T> packed(4 * hidden * hidden);
    T* to = packed.data();
    for (long block = 0; block < hidden; block += LANES)
        for (long k = 0; k < hidden; k += PAIR<T>)
            for (long gate = 0; gate < 4; gate++)
                for (long unit = block; unit < block + LANES; unit++)
                    for (long p = 0; p < PAIR<T>; p++) *to++ = weights[(gate * hidden + unit) * hidden + k + p];
    return packed;
}

template <class T>
static void forward(const Shape& s, const T* inputs, const T* weights, T* states, float* cells, T* activated,
                    long threads) {
    const long H = s.hidden;
    std::vector<std::vector<T>> packed;
    for (long d = 0; d < s.directions; d++) packed.push_back(packed_by_unit(weights + d * 4 * H * H, H));
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
                    multiply<T, R>(states + s.state(at.before, row, d), H, packed[d].data() + block * 4 * H, H, sums);
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

// Weights [4 * hidden, hidden] by blocks of 64 units: [hidden / 64 rounded up, 4 * hidden / PAIR, 4, 16, PAIR].
template <class T>
static std::vector<T> packed_by_gate(const T* weights, long hidden, long width) {
    std::vector<T> packed(4 * hidden * width, T{});
    T* to = packed.data();
    for (long block = 0; block < width; block += 4 * LANES)
        for (long k = 0; k < 4 * hidden; k += PAIR<T>)
            for (long unit = block; unit < block + 4 * LANES; unit++)
                for (long p = 0; p < PAIR<T>; p++, to++)
                    if (unit < hidden) *to = weights[(k + p) * hidden + unit];
    return packed;
}

template <class T>
static void backward(const Shape& s, const T* weights, const float* cells, const T* activated, const T* d_outputs,
                     float* d_states, float* d_cells, T* d_gates, long threads) {
    const long H = s.hidden, width = (H + 4 * LANES - 1) / (4 * LANES) * 4 * LANES;
    std::vector<std::vector<T>> packed;
    for (long d = 0; d < s.directions; d++) packed.push_back(packed_by_gate(weights + d * 4 * H * H, H, width));
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
                                   packed[d].data() + block * 4 * H, 4 * H, sums);
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
