// The smallest valid media, and the shapes that tools, prompts and resources of the conformance fixture answer with.

/** A PNG of one red pixel. */
export const PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC';

/** A WAV file without samples: 8 kHz, one channel, 8 bits. */
export const WAV = wav();

export const text = (value) => ({ type: 'text', text: value });
export const image = () => ({ type: 'image', data: PNG, mimeType: 'image/png' });
export const resource = (uri, mimeType, value) => ({ type: 'resource', resource: { uri, mimeType, text: value } });
export const answer = (...content) => ({ content });
export const said = (content) => ({ messages: content.map((part) => ({ role: 'user', content: part })) });
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function wav() {
  const head = Buffer.alloc(44);
  head.write('RIFF', 0);
  head.writeUInt32LE(36, 4);
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(8000, 24);
  head.writeUInt32LE(8000, 28);
  head.writeUInt16LE(1, 32);
  head.writeUInt16LE(8, 34);
  head.write('data', 36);
  return head.toString('base64');
}
