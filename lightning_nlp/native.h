// What the compiled loops of this project share: numbers, vector registers, products of rows and packed weights.

#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
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

// Calls f(count, row) for groups of rows; `count` is their number as a type.
template <class F>
static void in_groups(long from, long to, F&& f) {
    for (; to - from >= ROWS; from += ROWS) f(std::integral_constant<int, ROWS>(), from);
    for (; to - from >= 2; from += 2) f(std::integral_constant<int, 2>(), from);
    if (from < to) f(std::integral_constant<int, 1>(), from);
}

// Weights [4 * hidden, depth] of gates by blocks of 16 units: [hidden / 16, depth / PAIR, gate, unit, PAIR].
template <class T>
static std::vector<T> packed_gates(const T* weights, long hidden, long depth) {
    std::vector<T> packed(4 * hidden * depth);
    T* to = packed.data();
    for (long block = 0; block < hidden; block += LANES)
        for (long k = 0; k < depth; k += PAIR<T>)
            for (long gate = 0; gate < 4; gate++)
                for (long unit = block; unit < block + LANES; unit++)
                    for (long p = 0; p < PAIR<T>; p++) *to++ = weights[(gate * hidden + unit) * depth + k + p];
    return packed;
}

// Rounds up to whole blocks of columns.
static inline long in_blocks(long columns) { return (columns + 4 * LANES - 1) / (4 * LANES) * 4 * LANES; }

// A matrix [depth, columns], given by a function of its places, by blocks of 64 columns, with zeros beyond the last:
// [in_blocks(columns) / 64, depth / PAIR, 4, 16, PAIR].
template <class T, class F>
static std::vector<T> packed_columns(long depth, long columns, F&& at) {
    std::vector<T> packed(depth * in_blocks(columns), T{});
    T* to = packed.data();
    for (long block = 0; block < columns; block += 4 * LANES)
        for (long k = 0; k < depth; k += PAIR<T>)
            for (long column = block; column < block + 4 * LANES; column++)
                for (long p = 0; p < PAIR<T>; p++, to++)
                    if (column < columns) *to = at(k + p, column);
    return packed;
}

// Calls task(part) for each of `parts` on so many threads.
template <class F>
static void run_parts(long parts, long threads, F&& task) {
    std::atomic<long> next{0};
    auto work = [&] {
        for (long part; (part = next++) < parts;) task(part);
    };
    std::vector<std::thread> pool;
    for (long n = 1; n < std::min(threads, parts); n++) pool.emplace_back(work);
    work();
    for (auto& thread : pool) thread.join();
}
