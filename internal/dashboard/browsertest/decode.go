package browsertest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// decoderPage decodes a stream with WebCodecs, and hands over the frames.
const decoderPage = `<!doctype html><link rel=icon href="data:,"><script>
async function decode(codec, units) {
	const frames = [];
	let wrong;
	const decoder = new VideoDecoder({output: f => frames.push(f), error: e => wrong = e});
	decoder.configure({codec, hardwareAcceleration: "prefer-software", optimizeForLatency: true});
	for (let n = 0; n < units.length; n++) {
		const data = Uint8Array.from(atob(units[n].Data), c => c.charCodeAt(0));
		decoder.decode(new EncodedVideoChunk({type: units[n].Key ? "key" : "delta", timestamp: n, data}));
	}
	await decoder.flush().catch(e => wrong ??= e);
	if (wrong) throw wrong;
	const bytes = [];
	for (const f of frames) {
		if (f.format !== "I420") throw new Error("decoded to " + f.format);
		const pixels = new Uint8Array(f.allocationSize());
		await f.copyTo(pixels);
		bytes.push(pixels);
		f.close();
	}
	const answer = await fetch("/frames", {method: "POST", body: new Blob(bytes)});
	return answer.ok;
}
</script>`

// Unit is what a decoder is given at a time: one picture of a stream, in the form of ISO 14496-10, Annex B. One that needs
// none before it, Key, begins with the stream's parameter sets.
type Unit struct {
	Key  bool
	Data []byte
}

// DecodeH264 returns the frames that the browser's decoder, which is not ours, makes of a stream: planar 4:2:0 each, cropped,
// one behind the other. The codec is its profile and level as in RFC 6381. A stream that it does not take fails the test.
func DecodeH264(t testing.TB, codec string, units []Unit) (frames []byte) {
	t.Helper()
	posted := make(chan []byte, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			_, _ = io.WriteString(w, decoderPage)
		case "/frames":
			if frames, err := io.ReadAll(r.Body); err == nil {
				posted <- frames
			}
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	stream, err := json.Marshal(units)
	if err != nil {
		t.Fatal(err)
	}
	p := Open(t, srv.URL)
	p.Go("/")
	if !Eval[bool](p, fmt.Sprintf("decode(%q, %s)", codec, stream)) {
		t.Fatal("the page does not hand over what it decoded")
	}
	return <-posted
}
