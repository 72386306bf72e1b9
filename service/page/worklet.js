/* The softphone's sound, on the audio thread: the microphone becomes 20 ms frames of 8 kHz µ-law
 * (ITU-T G.711), received µ-law becomes what the speaker plays. Marks and clears are kept here,
 * to the sample, by the carriers' rules. This file promises not to know of sockets or pages.
 *
 * To the page:    {frame: ArrayBuffer}  {marks: [name]}  {played, queued, underruns, mic, speaker}
 * From the page:  {audio: ArrayBuffer}  {mark: name}  {clear: true}  {closed: true}
 */

const LINE_HZ = 8000;
const FRAME_SAMPLES = 160;
const JITTER_SAMPLES = 480; // 60 ms in hand before a talk spurt starts: what an uneven network needs
const QUEUE_SAMPLES = 30 * LINE_HZ; // far beyond what a bridge sends ahead; keeps a mad one harmless
const REPORT_SAMPLES = 400; // tell the page how it goes 20 times a second

const BIAS = 0x84;
const CLIP = 32635;

/** One sample in -1..1 as a µ-law byte. */
function encodeUlaw(sample) {
  let value = Math.round(Math.max(-1, Math.min(1, sample)) * 32768);
  const sign = value < 0 ? 0x80 : 0;
  value = Math.min(Math.abs(value), CLIP) + BIAS;
  const exponent = 24 - Math.clz32(value); // value is 0x84..0x7fff: 0..7
  return ~(sign | (exponent << 4) | ((value >> (exponent + 3)) & 0x0f)) & 0xff;
}

/** Every µ-law byte as a sample in -1..1. */
const DECODED = Float32Array.from({ length: 256 }, (_, byte) => {
  const code = ~byte & 0xff;
  const magnitude = ((((code & 0x0f) << 3) + BIAS) << ((code >> 4) & 0x07)) - BIAS;
  return (code & 0x80 ? -magnitude : magnitude) / 32768;
});

function greatestCommonDivisor(a, b) {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** Modified Bessel function of order zero, for the Kaiser window. */
function bessel0(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > sum * 1e-9; k += 1) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

/**
 * Changes the sample rate by a windowed sinc, one filter per fractional position that can occur,
 * so the phase is linear and positions never drift. Passes to 3.4 kHz, 60 dB down from 4.2 kHz.
 */
class Resampler {
  constructor(fromHz, toHz) {
    const shared = greatestCommonDivisor(fromHz, toHz);
    this.step = fromHz / shared;
    this.phases = toHz / shared;
    const half = Math.ceil(20 * Math.max(1, fromHz / toHz));
    this.taps = 2 * half;
    this.filters = Array.from({ length: this.phases }, (_, phase) =>
      Resampler.filter(half, phase / this.phases, (0.475 * Math.min(fromHz, toHz)) / fromHz),
    );
    this.history = new Float32Array(2 * this.taps); // written twice, so that a window is one piece
    this.at = 0;
    this.phase = 0;
  }

  static filter(half, fraction, cutoff) {
    const taps = Float64Array.from({ length: 2 * half }, (_, index) => {
      const t = fraction + half - 1 - index;
      const sinc = t === 0 ? 1 : Math.sin(2 * Math.PI * cutoff * t) / (2 * Math.PI * cutoff * t);
      const inside = Math.max(0, 1 - (t / half) ** 2);
      return sinc * bessel0(6 * Math.sqrt(inside));
    });
    const gain = taps.reduce((sum, tap) => sum + tap, 0);
    return Float32Array.from(taps, (tap) => tap / gain);
  }

  /** Takes one sample in. */
  put(sample) {
    this.history[this.at] = sample;
    this.history[this.at + this.taps] = sample;
    this.at = (this.at + 1) % this.taps;
  }

  /** Whether a sample can be taken out before the next is put in. */
  get ready() {
    return this.phase < this.phases;
  }

  /** Takes one sample out. */
  take() {
    const filter = this.filters[this.phase];
    let sum = 0;
    for (let i = 0; i < this.taps; i += 1) sum += filter[i] * this.history[this.at + i];
    this.phase += this.step;
    return sum;
  }

  /** Moves on by one sample of the input. */
  advance() {
    this.phase -= this.phases;
  }
}

/** The loudness of what passed since it was last asked, as RMS in 0..1. */
class Meter {
  constructor() {
    this.sum = 0;
    this.count = 0;
  }

  add(sample) {
    this.sum += sample * sample;
    this.count += 1;
  }

  read() {
    const level = this.count ? Math.sqrt(this.sum / this.count) : 0;
    this.sum = 0;
    this.count = 0;
    return level;
  }
}

/** From the microphone to frames for the line. */
class Ear {
  constructor(rateHz, emit) {
    this.resampler = new Resampler(rateHz, LINE_HZ);
    this.emit = emit;
    this.meter = new Meter();
    this.frame = new Uint8Array(FRAME_SAMPLES);
    this.filled = 0;
  }

  hear(sample) {
    this.resampler.put(sample);
    while (this.resampler.ready) this.keep(this.resampler.take());
    this.resampler.advance();
  }

  keep(sample) {
    this.meter.add(sample);
    this.frame[this.filled] = encodeUlaw(sample);
    this.filled += 1;
    if (this.filled < FRAME_SAMPLES) return;
    this.emit(this.frame.buffer);
    this.frame = new Uint8Array(FRAME_SAMPLES);
    this.filled = 0;
  }
}

/** What the line sent and is still to be played, with the marks between it. */
class PlayQueue {
  constructor(returnMarks) {
    this.returnMarks = returnMarks;
    this.ring = new Uint8Array(QUEUE_SAMPLES);
    this.written = 0; // samples ever taken in, and
    this.played = 0; // played or dropped: where the reader stands
    this.heard = 0; // played
    this.marks = []; // {name, at}: in order
    this.markedAt = -1; // where the last mark was put
    this.playing = false;
    this.waited = 0;
    this.underruns = 0;
  }

  get queued() {
    return this.written - this.played;
  }

  add(bytes) {
    const room = QUEUE_SAMPLES - this.queued;
    for (const byte of bytes.subarray(0, room)) {
      this.ring[this.written % QUEUE_SAMPLES] = byte;
      this.written += 1;
    }
  }

  mark(name) {
    this.marks.push({ name, at: this.written });
    this.markedAt = this.written;
    this.settle();
  }

  clear() {
    this.played = this.written;
    this.markedAt = this.written;
    this.stop();
    this.settle();
  }

  /** The next sample at 8 kHz: sound, or silence where there is none (or not yet enough). */
  next() {
    if (!this.queued || !this.begun()) return 0;
    const sample = DECODED[this.ring[this.played % QUEUE_SAMPLES]];
    this.played += 1;
    this.heard += 1;
    if (this.marks.length) this.settle();
    if (!this.queued) this.runDry();
    return sample;
  }

  begun() {
    if (this.playing) return true;
    this.waited += 1;
    // Something shorter than the jitter buffer must be played too: it waits no longer than that.
    this.playing = this.queued >= JITTER_SAMPLES || this.waited > JITTER_SAMPLES;
    return this.playing;
  }

  runDry() {
    // A turn ends with a mark. Sound that stops without one was late.
    if (this.markedAt !== this.written) this.underruns += 1;
    this.stop();
  }

  stop() {
    this.playing = false;
    this.waited = 0;
  }

  settle() {
    const due = this.marks.findIndex((mark) => mark.at > this.played);
    const count = due < 0 ? this.marks.length : due;
    if (count) this.returnMarks(this.marks.splice(0, count).map((mark) => mark.name));
  }
}

/** Both directions of one call, between the microphone's input and the speaker's output. */
class Line extends AudioWorkletProcessor {
  constructor() {
    super();
    this.ear = new Ear(sampleRate, (frame) => this.port.postMessage({ frame }, [frame]));
    this.queue = new PlayQueue((marks) => this.port.postMessage({ marks }));
    this.speaker = new Resampler(LINE_HZ, sampleRate);
    this.speakerMeter = new Meter();
    this.open = true;
    this.port.onmessage = ({ data }) => this.obey(data);
  }

  obey(order) {
    if (order.audio) this.queue.add(new Uint8Array(order.audio));
    else if (order.mark !== undefined) this.queue.mark(order.mark);
    else if (order.clear) this.queue.clear();
    else if (order.closed) this.open = false;
  }

  process([input], [output]) {
    const speaker = output[0];
    const microphone = input[0]; // absent while the microphone is: the line then carries silence
    for (let i = 0; i < speaker.length; i += 1) {
      this.ear.hear(microphone ? microphone[i] : 0);
      speaker[i] = this.nextSample();
    }
    for (let i = 1; i < output.length; i += 1) output[i].set(speaker);
    this.report();
    return this.open;
  }

  nextSample() {
    while (!this.speaker.ready) {
      const sample = this.queue.next();
      this.speakerMeter.add(sample);
      this.speaker.put(sample);
      this.speaker.advance();
    }
    return this.speaker.take();
  }

  report() {
    if (this.speakerMeter.count < REPORT_SAMPLES) return;
    const { heard, queued, underruns } = this.queue;
    const [mic, speaker] = [this.ear.meter.read(), this.speakerMeter.read()];
    this.port.postMessage({ played: heard, queued, underruns, mic, speaker });
  }
}

registerProcessor("callbridge-line", Line);
