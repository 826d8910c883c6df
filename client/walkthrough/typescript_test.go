package walkthrough_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func TestLockFileNamesNoRegistry(t *testing.T) { npm.CheckLock(t) }

// tsconfig has the strictest rules that there are.
const tsconfig = `{"compilerOptions": {"strict": true, "noUncheckedIndexedAccess": true, "exactOptionalPropertyTypes": true, "noPropertyAccessFromIndexSignature": true,
	"target": "es2022", "module": "nodenext", "types": ["node"], "skipLibCheck": true, "outDir": "."}, "files": ["generations.ts"]}`

// The types that are made from the document compile, and the client that they make works.
func TestTypeScriptClient(t *testing.T) {
	t.Parallel()
	folder := npm.Folder(t) // imports are looked for in its node_modules
	document, err := filepath.Abs("../../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("../typescript/generations.ts")
	if err != nil {
		t.Fatal(err)
	}
	write(t, folder, "generations.ts", program)
	write(t, folder, "tsconfig.json", []byte(tsconfig))
	module := func(parts ...string) string {
		return filepath.Join(append([]string{folder, "node_modules"}, parts...)...)
	}
	run(t, folder, nil, "node", module("openapi-typescript", "bin", "cli.js"), document, "--output", "schema.d.ts")
	run(t, folder, nil, "node", module("typescript", "bin", "tsc"), "--project", ".")

	env := serve(t)
	picture := filepath.Join(folder, "furnished.jpg")
	var said struct {
		Generation struct {
			Status   string
			Metadata struct{ Row int }
			Outputs  []struct{ Role string }
		}
		Wrong  []struct{ Field string }
		Listed int
	}
	text := run(t, folder, env, "node", "generations.js", room(t, folder), picture)
	if err := json.Unmarshal([]byte(text), &said); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if said.Generation.Status != "succeeded" || said.Generation.Metadata.Row != 7 || len(said.Generation.Outputs) == 0 || said.Generation.Outputs[0].Role != "primary" ||
		len(said.Wrong) != 1 || said.Wrong[0].Field != "mode" || said.Listed != 1 {
		t.Errorf("it says %s", text)
	}
	if content, err := os.ReadFile(picture); err != nil || len(content) < 1000 {
		t.Errorf("it fetched %d bytes, %v", len(content), err)
	}
}
