// Uses a server as a client of OpenAI's API would, and fails where it is not answered as one.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import OpenAI, { toFile } from "openai";

const { KINORA_SERVER: server, KINORA_KEY: apiKey, KINORA_PICTURE, KINORA_RECEIVER: url } = process.env;
const baseURL = `${server}/v1`;
const openai = new OpenAI({ baseURL, apiKey });
const file = await toFile(await readFile(KINORA_PICTURE), "boat.png", { type: "image/png" });
const recorded = async (reference) =>
  (await (await fetch(`${server}/api/v1/generations?reference=${encodeURIComponent(reference)}`, { headers: { Authorization: `Bearer ${apiKey}` } })).json()).generations;

async function ended(id) {
  for (;;) {
    const video = await openai.videos.retrieve(id);
    if (video.status === "completed" || video.status === "failed") return video;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

// Videos: from a file, with the additions, listed, downloaded in part, deleted.
const first = await openai.videos.create({
  model: "sandbox-video", prompt: "a boat", seconds: "1", size: "320x180", input_reference: file,
  sandbox: { delay: "200ms" }, webhook: { url }, reference: "from Node", metadata: { row: 7 },
});
assert.equal(first.object, "video");
assert.equal(first.status, "queued");
const second = await openai.videos.create({ model: "sandbox-video", prompt: "a boat", seconds: "1", size: "320x180", sandbox: { delay: "200ms" } });
const video = await ended(first.id);
assert.deepEqual([video.status, video.progress, video.seconds, video.size, video.error], ["completed", 100, "1", "320x180", null]);
assert.ok(video.expires_at > video.completed_at);
await ended(second.id);
const ids = [];
for await (const v of openai.videos.list({ limit: 1, order: "asc" })) ids.push(v.id);
assert.deepEqual(ids.filter((id) => id === first.id || id === second.id), [first.id, second.id]);
const whole = Buffer.from(await (await openai.videos.downloadContent(first.id, { variant: "video" })).arrayBuffer());
assert.equal(whole.subarray(4, 8).toString(), "ftyp");
const part = await openai.videos.downloadContent(first.id, {}, { headers: { Range: "bytes=4-7" } });
assert.deepEqual([part.status, await part.text()], [206, "ftyp"]);
assert.deepEqual(await openai.videos.delete(first.id), { id: first.id, object: "video.deleted", deleted: true });
await assert.rejects(openai.videos.retrieve(first.id), OpenAI.NotFoundError);
assert.equal((await recorded("from Node")).length, 1);

// Images: inline and by URL, edits, asynchronous.
const inline = await openai.images.generate({ model: "sandbox-image", prompt: "a depot", size: "64x64", n: 2 });
assert.deepEqual(inline.data.map((d) => Buffer.from(d.b64_json, "base64").subarray(0, 3).toString("hex")), ["ffd8ff", "ffd8ff"]);
const linked = await openai.images.generate({ model: "sandbox-image", prompt: "a depot", size: "64x64", response_format: "url" });
assert.equal((await fetch(linked.data[0].url)).status, 200);
const edited = await openai.images.edit({ model: "sandbox-image", prompt: "at night", size: "64x64", image: [file, file], n: 1 });
assert.equal(edited.data.length, 1);
const later = await openai.images.generate({ model: "sandbox-image", prompt: "a depot", size: "64x64", async: true });
assert.equal(later.status, "queued");
assert.equal((await openai.get(`/images/generations/${later.id}`)).id, later.id);

// Errors arrive as the SDK's classes.
const image = { model: "sandbox-image", prompt: "a depot", size: "64x64" };
const fails = (request, type, expected) => assert.rejects(request, (e) => {
  assert.ok(e instanceof type, `${e} is no ${type.name}`);
  assert.deepEqual({ status: e.status, code: e.code, param: e.param }, { param: null, ...expected });
  return true;
});
await fails(new OpenAI({ baseURL, apiKey: "sk-wrong" }).images.generate(image), OpenAI.AuthenticationError, { status: 401, code: "invalid_api_key" });
await fails(openai.images.generate({ ...image, n: 99 }), OpenAI.BadRequestError, { status: 400, code: null, param: "n" });
await fails(openai.images.generate({ ...image, model: "dall-e-9" }), OpenAI.NotFoundError, { status: 404, code: "model_not_found", param: "model" });
await fails(openai.images.generate({ ...image, sandbox: { fail: "moderation" } }), OpenAI.BadRequestError, { status: 400, code: "moderation_blocked" });
await fails(openai.images.generate({ ...image, reference: "fails once", sandbox: { fail: "generation" } }), OpenAI.InternalServerError, { status: 502, code: "upstream_error" });
assert.equal((await recorded("fails once")).length, 1, "a failure was repeated");

// Repeats of the SDK, and those on purpose.
await assert.rejects(
  openai.images.generate({ ...image, reference: "given up", sandbox: { delay: "30s" } }, { timeout: 2500, maxRetries: 1 }),
  OpenAI.APIConnectionTimeoutError,
);
assert.equal((await recorded("given up")).length, 1, "a repeat made another generation");
const key = { headers: { "Idempotency-Key": "order-17" } };
const once = await openai.images.generate({ ...image, reference: "once" }, key);
assert.equal((await openai.images.generate({ ...image, reference: "once" }, key)).id, once.id);
await fails(openai.images.generate({ ...image, prompt: "another" }, key), OpenAI.ConflictError, { status: 409, code: "idempotency_conflict" });
assert.equal((await recorded("once")).length, 1);

assert.ok((await openai.models.list()).data.some((m) => m.id === "sandbox-video"));
console.log("all checks passed");
