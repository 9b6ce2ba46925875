// Cross entropy with label smoothing, and its gradient in the place of the logits: one visit of each row.
//
// With p = softmax(logits), smoothing e and V classes, the loss of a row is -(1 - e) log p[target] - e / V sum(log p),
// and its gradient in the logits p - (1 - e) [target] - e / V (see cross_entropy.py).

#include <cmath>

#include "native.h"

template <class T>
static float row_loss(T* logits, long classes, long target, float smoothing, bool with_gradient) {
    const long whole = classes / LANES * LANES;
    float spare[LANES];  // the last classes, filled up with what adds nothing
    const auto read = [&](long c) -> vec {
        if (c < whole) return load(logits + c);
        std::fill(spare, spare + LANES, -INFINITY);
        for (long k = c; k < classes; k++) spare[k - c] = load_one(logits + k);
        return load(spare);
    };
    vec most = read(0), sum = {}, exps = {};
    for (long c = LANES; c < classes; c += LANES) {
        const vec x = read(c);
        most = x > most ? x : most;
    }
    float top = most[0];
    for (int lane = 1; lane < LANES; lane++) top = std::max(top, most[lane]);
    for (long c = 0; c < classes; c += LANES) {
        const vec x = read(c);
        exps += exp(x - top);
        sum += x > -INFINITY ? x : vec{};
    }
    float total = 0, all = 0;
    for (int lane = 0; lane < LANES; lane++) total += exps[lane], all += sum[lane];
    const float log_total = top + std::log(total), at_target = load_one(logits + target);
    const float spread = smoothing / classes;
    if (with_gradient) {
        const float scale = 1.f / total;
        for (long c = 0; c < classes; c += LANES) {
            const vec gradient = exp(read(c) - top) * scale - spread;
            if (c < whole)
                store(logits + c, gradient);
            else
                for (long k = c; k < classes; k++) store_one(logits + k, gradient[k - c]);
        }
        store_one(logits + target, std::exp(at_target - top) * scale - spread - (1.f - smoothing));
    }
    return log_total - (1.f - smoothing) * at_target - spread * all;
}

template <class T>
static void cross_entropy(T* logits, const int64_t* targets, float* losses, long rows, long classes, float smoothing,
                          long with_gradient, long threads) {
    constexpr long TOGETHER = 16;
    run_parts((rows + TOGETHER - 1) / TOGETHER, threads, [&](long part) {
        for (long row = part * TOGETHER; row < std::min(rows, (part + 1) * TOGETHER); row++)
            losses[row] = row_loss(logits + row * classes, classes, targets[row], smoothing, with_gradient);
    });
}

#define EXPORT(NAME, T)                                                                                               \
    extern "C" void NAME##_cross_entropy(T* logits, const int64_t* targets, float* losses, long rows, long classes,  \
                                         long with_gradient, float smoothing, long threads) {                        \
        cross_entropy(logits, targets, losses, rows, classes, smoothing, with_gradient, threads);                    \
    }

EXPORT(float32, float)
#ifdef __AVX512BF16__
EXPORT(bfloat16, Bfloat)
#endif
