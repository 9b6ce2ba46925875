// `WindowEncoder` (encoder.py) without gradients, a sentence at a time, which stays in the cache: torch goes over all
// words of the batch a dozen times a layer. Numbers are float, or bfloat16 with sums in float.

#include <cmath>

#include "native.h"

constexpr float EPSILON = 1e-5f;             // torch.nn.LayerNorm's
constexpr int TOGETHER = std::min(ROWS, 5);  // rows that are multiplied together

template <class T>
static void normalise(const float* state, const float* scale, const float* shift, long dim, T* to) {
    vec sums = {}, squares = {};
    for (long k = 0; k < dim; k += LANES) sums += load(state + k);
    float mean = 0, variance = 0;
    for (int lane = 0; lane < LANES; lane++) mean += sums[lane] / dim;
    for (long k = 0; k < dim; k += LANES) squares += (load(state + k) - mean) * (load(state + k) - mean);
    for (int lane = 0; lane < LANES; lane++) variance += squares[lane] / dim;
    const float factor = 1.f / std::sqrt(variance + EPSILON);
    for (long k = 0; k < dim; k += LANES)
        store(to + k, (load(state + k) - mean) * factor * load(scale + k) + load(shift + k));
}

// Calls put(row, column, sum) for the products of rows [rows, depth] with packed weights [dim, PLACES * depth], 16
// columns at a time. Place p of the weights sees what lies p * distance numbers after the row.
template <int PLACES, class T, class F>
static void products(const T* from, long rows, long depth, long distance, const Array<T>& weights, long dim, F&& put) {
    for (long block = 0; block < dim; block += 4 * LANES)
        in_groups<TOGETHER>(0, rows, [&](auto count, long row) {
            constexpr int R = decltype(count)::value;
            vec sums[R][4] = {};
            for (long place = 0; place < PLACES; place++)
                multiply<T, R>(from + row * depth + place * distance, depth,
                               weights.get() + (block * PLACES + place * 4 * LANES) * depth, depth, sums);
#pragma GCC unroll 5
            for (int r = 0; r < R; r++)
#pragma GCC unroll 4
                for (int j = 0; j < 4; j++)
                    if (block + j * LANES < dim) put(row + r, block + j * LANES, sums[r][j]);
        });
}

// Makes states [batch, 1 + length, dim] of root and words [batch, length, depth]; `lengths` count words. Weights
// `inward` [dim, depth] make states of words; those of a layer are [dim, 3 * dim], of the word before, the word itself
// and the word after. `parts` [2 + layers * 3, dim] are the root, the bias of `inward`, and of each layer the bias and
// the scale and shift of its norm.
template <class T>
static void window(const T* words, const T* inward, const T* weights, const float* parts, const int64_t* lengths,
                   T* states, long batch, long length, long depth, long dim, long layers, long threads) {
    const Array<T> into = packed_columns(inward, depth, dim, 1, depth, threads);
    std::vector<Array<T>> packed;
    for (long layer = 0; layer < layers; layer++)
        packed.push_back(packed_columns(weights + layer * dim * 3 * dim, 3 * dim, dim, 1, 3 * dim, threads));
    const long margin = (1L << layers >> 1) * dim;  // what the last layer looks at beyond the ends
    run_parts(batch, threads, [&](long b) {
        const long size = (lengths[b] + 1) * dim;
        const Array<float> state(new float[size]);
        std::copy(parts, parts + dim, state.get());
        products<1>(words + b * length * depth, lengths[b], depth, 0, into, dim, [&](long row, long k, vec sum) {
            store(state.get() + (row + 1) * dim + k, sum + load(parts + dim + k));
        });
        const Array<T> seen(new T[size + 2 * margin]);  // zeros beyond the ends
        std::memset(seen.get(), 0, margin * sizeof(T));
        std::memset(seen.get() + margin + size, 0, margin * sizeof(T));
        for (long layer = 0; layer < layers; layer++) {
            const float *bias = parts + (2 + layer * 3) * dim, *scale = bias + dim, *shift = scale + dim;
            for (long at = 0; at < size; at += dim)
                normalise(state.get() + at, scale, shift, dim, seen.get() + margin + at);
            const long distance = (1L << layer) * dim;
            products<3>(seen.get() + margin - distance, lengths[b] + 1, dim, distance, packed[layer], dim,
                        [&](long row, long k, vec sum) {
                            float* const to = state.get() + row * dim + k;
                            const vec hidden = sum + load(bias + k);
                            store(to, load(to) + (hidden > 0.f ? hidden : vec{}));
                        });
        }
        for (long k = 0; k < size; k += LANES) store(states + b * (length + 1) * dim + k, load(state.get() + k));
    });
}

#define EXPORT(NAME, T)                                                                                               \
    extern "C" void NAME##_window(const T* words, const T* inward, const T* weights, const float* parts,              \
                                  const int64_t* lengths, T* states, long batch, long length, long depth, long dim,   \
                                  long layers, long threads) {                                                        \
        window(words, inward, weights, parts, lengths, states, batch, length, depth, dim, layers, threads);           \
    }
EXPORT(float32, float)
#ifdef __AVX512BF16__
EXPORT(bfloat16, Bfloat)
#endif
