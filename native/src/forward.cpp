#include "forward.h"

#include <algorithm>
#include <cstring>

namespace attento {
namespace {

// So many rows at once are prepared for a product: few enough to stay in the second cache.
constexpr int kBlock = 256;
// Attention asks memory for the keys of so many groups of heads ahead: a few percent faster with full batches.
constexpr int kAhead = 2;
// Rows that stand a power of two apart would meet in few lines of the first cache.
constexpr int kApart = 16;
// A sentence's cache begins with room for so many pieces of its translation.
constexpr int kFirstPlaces = 32;

}  // namespace

// LayerNorm(x + Sublayer(x)) as printed (section 3.1), or x + Sublayer(LayerNorm(x)) (Xiong et al. 2020). A sublayer
// adds to `hidden_` what it makes of the rows that it is given.
template <typename Sublayer>
void Forward::residual(const Norm& norm, Sublayer sublayer) {
  float* hidden = hidden_.held();
  if (model_.settings.pre_norm) {
    float* normalized = normalized_.floats(static_cast<std::int64_t>(count_) * model_.settings.d_model);
    normalize(norm, hidden, normalized);
    sublayer(normalized);
  } else {
    sublayer(hidden);
    normalize(norm, hidden, hidden);
  }
}

void Forward::normalize(const Norm& norm, const float* x, float* out) {
  const Settings& s = model_.settings;
  if (norm.gain != nullptr) {
    kernels_.normalize(x, count_, s.d_model, s.centred, s.epsilon, norm.gain, norm.bias, out);
  } else if (out != x) {
    std::memcpy(out, x, sizeof(float) * count_ * s.d_model);
  }
}

void Forward::multiply(const Matrix& matrix, const float* x, std::int64_t stride, Epilogue epilogue, float* out,
                       std::int64_t out_stride) {
  const std::int64_t bytes = row_bytes(matrix.number, matrix.inputs);
  const int block = std::min(kBlock, count_);
  Rows rows{.values = prepared_.need(bytes * block), .scales = scales_.floats(block), .stride = bytes};
  for (int first = 0; first < count_; first += block) {
    rows.count = std::min(block, count_ - first);
    kernels_.prepare(matrix.number, x + first * stride, stride, matrix.inputs, rows);
    kernels_.product(matrix, rows, epilogue, out + first * out_stride, out_stride);
  }
}

void Forward::embed(const Matrix& embedding, std::int32_t token, float* hidden) const {
  unpack_row(embedding, token, hidden);
  const float scale = model_.settings.embedding_scale;
  for (int i = 0; i < model_.settings.d_model; ++i) hidden[i] *= scale;
}

// Section 3.3; gated forms: Shazeer 2020.
void Forward::feed_forward(const FeedForwardWeights& weights) {
  const Settings& s = model_.settings;
  residual(weights.norm, [&](const float* x) {
    const int width = s.inner_width() + (s.gated ? 0 : kApart);
    float* inner = wide_.floats(static_cast<std::int64_t>(count_) * width);
    const Activation activation = s.gated ? Activation::none : s.activation;
    multiply(weights.inner, x, s.d_model, {.activation = activation}, inner, width);
    float* made = inner;
    if (s.gated) {
      made = narrow_.floats(static_cast<std::int64_t>(count_) * s.d_ff);
      kernels_.gate(inner, count_, s.d_ff, s.activation, made);
    }
    multiply(weights.outer, made, s.gated ? s.d_ff : width, {.add = true}, hidden_.held(), s.d_model);
  });
}

// ---- reading ----

void Forward::read(std::span<Sentence* const> sentences) {
  int longest = 0;
  for (const Sentence* sentence : sentences) longest = std::max(longest, static_cast<int>(sentence->source.size()));
  places_.reach(longest + 1);
  if (model_.settings.reads_source()) {
    encode(sentences);
  } else {
    for (Sentence* sentence : sentences) read_prefix(*sentence);
  }
}

// Section 3.1, Encoder. The tokens of all sentences stand one behind the other: there is no padding.
void Forward::encode(std::span<Sentence* const> sentences) {
  const Settings& s = model_.settings;
  count_ = 0;
  for (const Sentence* sentence : sentences) count_ += static_cast<int>(sentence->source.size());
  float* hidden = hidden_.floats(static_cast<std::int64_t>(count_) * s.d_model);
  float* row = hidden;
  for (const Sentence* sentence : sentences) {
    for (std::size_t place = 0; place < sentence->source.size(); ++place, row += s.d_model) {
      embed(model_.source_embedding, sentence->source[place], row);
      places_.add_source(static_cast<int>(place), row);
    }
  }
  normalize(model_.source_norm, hidden, hidden);
  for (const EncoderLayer& layer : model_.encoder) {
    encoder_attention(layer.self, sentences);
    feed_forward(layer.feed_forward);
  }
  normalize(model_.encoder_norm, hidden, hidden);

  // Every decoder layer's keys and values of the sources, once.
  const int keys = s.keys_width(), width = keys + s.values_width();
  for (Sentence* sentence : sentences) {
    sentence->source_keys.reset(s.cache_number(), s.decoder_layers, s.num_kv_heads, s.d_key, s.d_value, 1,
                                static_cast<int>(sentence->source.size()));
    sentence->target_keys.reset(s.cache_number(), s.decoder_layers, s.num_kv_heads, s.d_key, s.d_value, sentence->slots,
                                kFirstPlaces);
    sentence->ancestry.reset(sentence->slots, 0);
    sentence->seen = sentence->target_start = 0;
  }
  for (int layer = 0; layer < s.decoder_layers; ++layer) {
    float* made = wide_.floats(static_cast<std::int64_t>(count_) * width);
    multiply(model_.decoder[layer].cross.keys_values, hidden, s.d_model, {}, made, width);
    for (Sentence* sentence : sentences) {
      for (std::size_t place = 0; place < sentence->source.size(); ++place, made += width) {
        for (int group = 0; group < s.num_kv_heads; ++group) {
          const int at = static_cast<int>(place);
          kernels_.store(s.cache_number(), made + group * s.d_key, s.d_key, sentence->source_keys.key(layer, group, at, 0));
          kernels_.store(s.cache_number(), made + keys + group * s.d_value, s.d_value,
                         sentence->source_keys.value(layer, group, at, 0));
        }
      }
    }
  }
}

void Forward::encoder_attention(const SelfAttentionWeights& weights, std::span<Sentence* const> sentences) {
  const Settings& s = model_.settings;
  residual(weights.norm, [&](const float* x) {
    const int width = s.qkv_width(), context_width = s.context_width();
    float* qkv = wide_.floats(static_cast<std::int64_t>(count_) * width);
    float* contexts = narrow_.floats(static_cast<std::int64_t>(count_) * context_width);
    multiply(weights.qkv, x, s.d_model, {}, qkv, width);
    float* context = contexts;
    for (const Sentence* sentence : sentences) {
      const int length = static_cast<int>(sentence->source.size());
      for (int place = 0; place < length; ++place) {
        places_.turn(place, s.num_heads + s.num_kv_heads, qkv + static_cast<std::int64_t>(place) * width);
      }
      // A head's keys side by side, not a row of all heads apart.
      float* keys = keys_.floats(static_cast<std::int64_t>(length) * s.d_key);
      float* values = values_.floats(static_cast<std::int64_t>(length) * s.d_value);
      for (int group = 0; group < s.num_kv_heads; ++group) {
        const float* from = qkv + s.queries_width() + group * s.d_key;
        const float* values_from = qkv + s.queries_width() + s.keys_width() + group * s.d_value;
        for (std::int64_t place = 0; place < length; ++place) {
          std::copy_n(from + place * width, s.d_key, keys + place * s.d_key);
          std::copy_n(values_from + place * width, s.d_value, values + place * s.d_value);
        }
        const Attended attended{.number = Number::f32,
                                .keys = reinterpret_cast<const std::byte*>(keys),
                                .values = reinterpret_cast<const std::byte*>(values),
                                .key_step = s.d_key,
                                .value_step = s.d_value,
                                .length = length,
                                .key_width = s.d_key,
                                .value_width = s.d_value};
        for (int head = group * s.heads_per_group(); head < (group + 1) * s.heads_per_group(); ++head) {
          // A row of biases begins one number before that of the place before.
          kernels_.attend(attended, {.queries = qkv + head * s.d_key,
                                     .contexts = context + head * s.d_value,
                                     .bias = places_.source_bias(head, 0),
                                     .weights = weights_.floats(static_cast<std::int64_t>(length) * length),
                                     .stride = width,
                                     .context_stride = context_width,
                                     .bias_stride = -1,
                                     .count = length,
                                     .scale = s.attention_scale});
        }
      }
      qkv += static_cast<std::int64_t>(length) * width;
      context += static_cast<std::int64_t>(length) * context_width;
    }
    multiply(weights.output, contexts, context_width, {.add = true}, hidden_.held(), s.d_model);
  });
}

// A decoder-only model reads the source as the beginning of its one text (Liu et al. 2018, section 4.2.3): block by
// block, which bounds the room, but all at once where a token sees those behind it.
void Forward::read_prefix(Sentence& sentence) {
  const Settings& s = model_.settings;
  const int length = static_cast<int>(sentence.source.size());
  sentence.target_keys.reset(s.cache_number(), s.decoder_layers, s.num_kv_heads, s.d_key, s.d_value, sentence.slots,
                             length + kFirstPlaces);
  sentence.ancestry.reset(sentence.slots, length);
  sentence.seen = sentence.target_start = length;
  const int block = s.source_sees_all ? length : kBlock;
  for (int first = 0; first < length; first += block) read_block(sentence, first, std::min(first + block, length));
}

void Forward::read_block(Sentence& sentence, int first, int last) {
  const Settings& s = model_.settings;
  rows_.clear();
  count_ = last - first;
  float* row = hidden_.floats(static_cast<std::int64_t>(count_) * s.d_model);
  for (int place = first; place < last; ++place, row += s.d_model) {
    rows_.push_back({&sentence, 0, place, s.source_sees_all ? last : place + 1});
    embed(model_.source_embedding, sentence.source[place], row);
    places_.add_target(place, row);
  }
  decode();
}

// ---- writing ----

float* Forward::step(std::span<Sentence* const> sentences) {
  const Settings& s = model_.settings;
  rows_.clear();
  int longest = 0;
  for (Sentence* sentence : sentences) {
    sentence->target_keys.grow(sentence->seen + 1);
    sentence->ancestry.extend(sentence->parents, sentence->seen);
    for (std::size_t i = 0; i < sentence->tokens.size(); ++i) {
      rows_.push_back({sentence, static_cast<int>(i), sentence->seen, sentence->seen + 1});
    }
    longest = std::max(longest, sentence->seen + 1);
  }
  places_.reach(longest);
  count_ = static_cast<int>(rows_.size());
  float* hidden = hidden_.floats(static_cast<std::int64_t>(count_) * s.d_model);
  for (int i = 0; i < count_; ++i) {
    float* row = hidden + static_cast<std::int64_t>(i) * s.d_model;
    embed(model_.target_embedding, rows_[i].sentence->tokens[rows_[i].hypothesis], row);
    places_.add_target(rows_[i].place, row);
  }
  decode();
  float* logits = logits_.floats(count_ * logits_stride());
  multiply(model_.output, hidden, s.d_model, {}, logits, logits_stride());
  for (Sentence* sentence : sentences) ++sentence->seen;
  return logits;
}

// Section 3.1, Decoder.
void Forward::decode() {
  float* hidden = hidden_.held();
  watched_.clear();
  normalize(model_.target_norm, hidden, hidden);
  for (std::size_t i = 0; i < model_.decoder.size(); ++i) {
    const DecoderLayer& layer = model_.decoder[i];
    self_attention(static_cast<int>(i), layer.self);
    if (model_.settings.reads_source()) cross_attention(static_cast<int>(i), layer.cross);
    feed_forward(layer.feed_forward);
  }
  normalize(model_.decoder_norm, hidden, hidden);
}

void Forward::self_attention(int layer, const SelfAttentionWeights& weights) {
  const Settings& s = model_.settings;
  residual(weights.norm, [&](const float* x) {
    const int width = s.qkv_width(), context_width = s.context_width();
    float* qkv = wide_.floats(static_cast<std::int64_t>(count_) * width);
    float* contexts = narrow_.floats(static_cast<std::int64_t>(count_) * context_width);
    float* room = weights_.floats(most_weights());
    multiply(weights.qkv, x, s.d_model, {}, qkv, width);
    for (int i = 0; i < count_; ++i) {
      const Row& row = rows_[i];
      float* made = qkv + static_cast<std::int64_t>(i) * width;
      places_.turn(row.place, s.num_heads + s.num_kv_heads, made);
      for (int group = 0; group < s.num_kv_heads; ++group) {
        const float* key = made + s.queries_width() + group * s.d_key;
        const float* value = made + s.queries_width() + s.keys_width() + group * s.d_value;
        const KeyValues& cache = row.sentence->target_keys;
        kernels_.store(s.cache_number(), key, s.d_key, cache.key(layer, group, row.place, row.hypothesis));
        kernels_.store(s.cache_number(), value, s.d_value, cache.value(layer, group, row.place, row.hypothesis));
      }
    }
    for (int i = 0; i < count_; ++i) {
      const Row& row = rows_[i];
      for (int group = 0; group < s.num_kv_heads; ++group) {
        const int head = group * s.heads_per_group();
        const int ahead = i + (group + kAhead) / s.num_kv_heads;
        if (ahead < count_) {
          const Row& later = rows_[ahead];
          later.sentence->target_keys.prefetch(layer, (group + kAhead) % s.num_kv_heads, later.seen);
        }
        kernels_.attend(
            row.sentence->target_keys.attended(layer, group, row.sentence->ancestry.slots(row.hypothesis), row.seen),
            {.queries = qkv + static_cast<std::int64_t>(i) * width + head * s.d_key,
             .contexts = contexts + static_cast<std::int64_t>(i) * context_width + head * s.d_value,
             .bias = places_.target_bias(head, row.place),
             .weights = room,
             .stride = s.d_key,
             .context_stride = s.d_value,
             .bias_stride = places_.bias_stride(),
             .count = s.heads_per_group(),
             .scale = s.attention_scale});
        if (watching_ && !s.reads_source()) {
          for (int each = 0; each < s.heads_per_group(); ++each) {
            const float* looked = room + static_cast<std::int64_t>(each) * row.seen;
            watched_.insert(watched_.end(), looked, looked + row.sentence->source.size());
          }
        }
      }
    }
    multiply(weights.output, contexts, context_width, {.add = true}, hidden_.held(), s.d_model);
  });
}

void Forward::cross_attention(int layer, const CrossAttentionWeights& weights) {
  const Settings& s = model_.settings;
  residual(weights.norm, [&](const float* x) {
    float* queries = wide_.floats(static_cast<std::int64_t>(count_) * s.queries_width());
    float* contexts = narrow_.floats(static_cast<std::int64_t>(count_) * s.context_width());
    multiply(weights.query, x, s.d_model, {}, queries, s.queries_width());
    attend_to_sources(layer, queries, contexts);
    multiply(weights.output, contexts, s.context_width(), {.add = true}, hidden_.held(), s.d_model);
  });
}

// The hypotheses of a sentence look at the same keys: they do so together, which reads the keys once.
void Forward::attend_to_sources(int layer, const float* queries, float* contexts) {
  const Settings& s = model_.settings;
  float* room = weights_.floats(most_weights());
  for (int first = 0, next = 0; first < count_; first = next) {
    const Sentence& sentence = *rows_[first].sentence;
    while (next < count_ && rows_[next].sentence == &sentence) ++next;
    const int length = static_cast<int>(sentence.source.size());
    for (int head = 0; head < s.num_heads; ++head) {
      const int group = head / s.heads_per_group();
      const Sentence* later = group + kAhead < s.num_kv_heads ? &sentence : next < count_ ? rows_[next].sentence : nullptr;
      if (later != nullptr && head % s.heads_per_group() == 0) {
        const int foreseen = static_cast<int>(later->source.size());
        later->source_keys.prefetch(layer, (group + kAhead) % s.num_kv_heads, foreseen);
      }
      const Attended attended = sentence.source_keys.attended(layer, group, nullptr, length);
      kernels_.attend(attended, {.queries = queries + first * static_cast<std::int64_t>(s.queries_width()) + head * s.d_key,
                                 .contexts = contexts + first * static_cast<std::int64_t>(s.context_width()) + head * s.d_value,
                                 .weights = room,
                                 .stride = s.queries_width(),
                                 .context_stride = s.context_width(),
                                 .count = next - first,
                                 .scale = s.attention_scale});
      if (watching_) watched_.insert(watched_.end(), room, room + static_cast<std::int64_t>(next - first) * length);
    }
  }
}

// Room for the weights of what attends at once: the heads of a group, or the hypotheses of a sentence.
std::int64_t Forward::most_weights() const {
  std::int64_t most = 0;
  for (const Row& row : rows_) {
    const auto hypotheses = static_cast<std::int64_t>(row.sentence->tokens.size());
    const auto length = static_cast<std::int64_t>(row.sentence->source.size());
    most = std::max({most, std::int64_t{row.seen} * model_.settings.heads_per_group(), hypotheses * length});
  }
  return most;
}

}  // namespace attento
