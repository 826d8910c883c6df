// From a photo to its generation, with types that are made from api/openapi.yaml: see README.md.
import { randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Generation = components["schemas"]["Generation"];

const env = (name: string): string => process.env[name] ?? fail(`${name} is not set`);
const api = createClient<paths>({ baseUrl: env("KINORA_SERVER"), headers: { Authorization: `Bearer ${env("KINORA_KEY")}` } });

function fail(message: string): never {
  throw new Error(message);
}

// A write carries a key of the caller's own, so that it may be repeated: what it makes is made once.
const once = () => ({ "Idempotency-Key": randomUUID() });

async function sourceAsset(path: string): Promise<string> {
  const form = new FormData();
  form.set("file", new Blob([await readFile(path)]), "photo.jpg");
  const made = await api.POST("/api/v1/source-assets", {
    params: { header: once() },
    body: form as never, // a form is its own serialisation
    bodySerializer: (body) => body as unknown as FormData,
  });
  if (made.error) fail(made.error.error.message);
  for (let ingest = made.data; ; ) {
    if (ingest.status === "failed") fail(ingest.failure?.message ?? "the photo was not taken");
    if (ingest.source_asset_id !== null) return ingest.source_asset_id;
    await new Promise((resolve) => setTimeout(resolve, 200));
    const read = await api.GET("/api/v1/source-assets/{ingest_id}", { params: { path: { ingest_id: ingest.ingest_id } } });
    if (read.error) fail(read.error.error.message);
    ingest = read.data;
  }
}

async function ended(generation: Generation): Promise<Generation> {
  while (!["succeeded", "failed", "cancelled"].includes(generation.status)) {
    const read = await api.GET("/api/v1/generations/{job_id}", {
      params: { path: { job_id: generation.job_id }, header: { Prefer: "wait=30" } },
    });
    if (read.error) fail(read.error.error.message);
    generation = read.data;
  }
  return generation;
}

const [photo = fail("usage: generations.js PHOTO OUTPUT"), output = fail("usage: generations.js PHOTO OUTPUT")] = process.argv.slice(2);
const created = await api.POST("/api/v1/generations", {
  params: { header: once() },
  body: {
    source_asset_id: await sourceAsset(photo),
    workflow: "staging",
    capture_type: "photo",
    mode: "furnish",
    room_types: ["Living Room"],
    style_preset: "Scandinavian",
    reference: "listing-123",
    metadata: { row: 7 },
  },
});
if (created.error) fail(created.error.error.message);
const generation = await ended(created.data);
const primary = generation.outputs[0] ?? fail(generation.failure?.message ?? "there is no output");
await writeFile(output, new Uint8Array(await (await fetch(primary.url)).arrayBuffer()));

// Whatever is wrong with a request is told by field.
const wrong = await api.POST("/api/v1/generations", {
  params: { header: once() },
  body: { source_asset_id: generation.source_asset_id, workflow: "staging", capture_type: "photo" },
});
const list = await api.GET("/api/v1/generations", { params: { query: { reference: "listing-123", status: "succeeded" } } });
console.log(JSON.stringify({ generation, wrong: wrong.error?.error.details, listed: list.data?.generations.length }));
