// What the compiled loops of this project share: numbers, vector registers, products of rows and packed weights.

#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <type_traits>
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
static inline float load_one(const float* from) { return *from; }
static inline void store_one(float* to, float x) { *to = x; }

#ifdef __AVX512BF16__
static inline vec load(const Bfloat* from) {
    return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)from)), 16);
}
static inline void store(Bfloat* to, vec x) {
    _mm256_storeu_si256((__m256i*)to, (__m256i)_mm512_cvtneps_pbh((__m512)x));
}
static inline float load_one(const Bfloat* from) {
    const uint32_t bits = (uint32_t)from->bits << 16;
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
}
static inline void store_one(Bfloat* to, float x) {  // rounds to the nearest, to even from the middle
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    to->bits = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
// Multiplies pairs and adds both products.
static inline vec multiply_add(const Bfloat* one, const Bfloat* many, vec sum) {
    const __m512i pair = _mm512_set1_epi32(*(const int32_t*)one);
    return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_loadu_si512(many), (__m512bh)pair);
}
#endif

template <class T>
constexpr int PAIR = sizeof(T) == 2 ? 2 : 1;  // neighbours that one instruction multiplies and adds

template <class T>
using Array = std::unique_ptr<T[]>;  // `new T[n]` leaves it as it is: to zero it would take longer than to fill it

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
[[gnu::always_inline]] static inline void multiply(const T* rows, long stride, const T* packed, long depth,
                                                   vec (&sums)[R][4]) {  // else some R are called: a fifth slower
    for (long k = 0; k < depth; k += PAIR<T>, packed += 4 * LANES * PAIR<T>)
#pragma GCC unroll 6
        for (int r = 0; r < R; r++)
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                sums[r][j] = multiply_add(rows + r * stride + k, packed + j * LANES * PAIR<T>, sums[r][j]);
}

// Calls f(count, row) for groups of rows that are as equal as can be: a row alone would wait for its own sums. `count`
// is their number as a type.
template <int MOST = ROWS, class F>
static void in_groups(long from, long to, F&& f) {
    const long rows = to - from, groups = (rows + MOST - 1) / MOST;
    for (long group = 0; group < groups; group++) {
        const long row = from + rows * group / groups;
        switch (from + rows * (group + 1) / groups - row) {
            case 1: f(std::integral_constant<int, 1>(), row); break;
            case 2: f(std::integral_constant<int, 2>(), row); break;
            case 3: f(std::integral_constant<int, std::min(3, MOST)>(), row); break;
            case 4: f(std::integral_constant<int, std::min(4, MOST)>(), row); break;
            case 5: f(std::integral_constant<int, std::min(5, MOST)>(), row); break;
            default: f(std::integral_constant<int, MOST>(), row);
        }
    }
}

// Calls task(part) for each of `parts` on so many threads, which are torch's where native.py finds its OpenMP.
template <class F>
static void run_parts(long parts, long threads, F&& task) {
    std::atomic<long> next{0};
    auto work = [&] {
        for (long part; (part = next++) < parts;) task(part);
    };
    const long crew = std::min(threads, parts);
#ifdef _OPENMP
#pragma omp parallel num_threads(crew) if (crew > 1)
    work();
#else
    std::vector<std::thread> pool;
    for (long n = 1; n < crew; n++) pool.emplace_back(work);
    work();
    for (auto& thread : pool) thread.join();
#endif
}

// -- weights as products read them ------------------------------------------------------------------------------------

// A matrix [depth, columns], whose neighbours in a column are `down` apart and in a row `right`, by blocks of 4 x 16
// columns that begin at first(block, 0..3), with zeros beyond the last: [blocks, depth / PAIR, 4, 16, PAIR].
template <class T, class F>
static Array<T> packed(const T* matrix, long depth, long columns, long down, long right, long blocks, long threads,
                       F&& first) {
    const long size = depth * 4 * LANES;
    Array<T> packed(new T[blocks * size]);
    run_parts(blocks, threads, [&](long block) {
        if (block == blocks - 1) std::fill_n(packed.get() + block * size, size, T{});
        for (long j = 0; j < 4; j++) {
            const long column = first(block, j), lanes = std::min<long>(LANES, columns - column);
            T* const to = packed.get() + block * size + j * LANES * PAIR<T>;
            const auto copy = [&](long k, long lane) {
                for (long p = 0; p < PAIR<T>; p++)
                    to[k * 4 * LANES + lane * PAIR<T> + p] = matrix[(k + p) * down + (column + lane) * right];
            };
            if (down == 1)  // in the order in which the matrix lies
                for (long lane = 0; lane < lanes; lane++)
                    for (long k = 0; k < depth; k += PAIR<T>) copy(k, lane);
            else
                for (long k = 0; k < depth; k += PAIR<T>)
                    for (long lane = 0; lane < lanes; lane++) copy(k, lane);
        }
    });
    return packed;
}

// Weights [4 * hidden, depth] of gates; a block has 16 units and their 4 gates.
template <class T>
static Array<T> packed_gates(const T* weights, long hidden, long depth, long threads) {
    const auto first = [&](long block, long gate) { return gate * hidden + block * LANES; };
    return packed(weights, depth, 4 * hidden, 1, depth, hidden / LANES, threads, first);
}

// Rounds up to whole blocks of columns.
static inline long in_blocks(long columns) { return (columns + 4 * LANES - 1) / (4 * LANES) * 4 * LANES; }

// Any matrix; a block has 64 neighbouring columns.
template <class T>
static Array<T> packed_columns(const T* matrix, long depth, long columns, long down, long right, long threads) {
    const auto first = [](long block, long j) { return (block * 4 + j) * LANES; };
    return packed(matrix, depth, columns, down, right, in_blocks(columns) / (4 * LANES), threads, first);
}
