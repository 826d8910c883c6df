// Command kinora is the server and its command line: it runs the gateway, looks after its organisations and keys, and
// submits generations to it.
//
// One file per command; what they share is the parsing of arguments (main.go), how results and failures are shown
// (console.go, exit.go, progress.go) and the files that were produced (outputs.go). What a command does is the duty of
// the packages that it calls: everything a user of the API could do goes through package client, everything a server
// does through internal/app.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/bench"
	"github.com/kinora/kinora/internal/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		time.Sleep(signalEcho)
		stop() // the default action is back: the next signal ends the process at once
	})
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// signalEcho is how long after the first signal others count as its echo: wrappers such as timeout(1), and runners that
// share a terminal with what they run, deliver one Ctrl-C twice.
const signalEcho = 500 * time.Millisecond

// grammar is the whole command line: one field per command.
type grammar struct {
	JSON bool `name:"json" help:"Write one JSON document to standard output instead of text; failures go to standard error as JSON."`

	Demo         demoCommand         `cmd:"" group:"try" help:"See it work: an image, a video and two verified webhooks, offline, in a few seconds."`
	Serve        serveCommand        `cmd:"" group:"run" help:"Run the server."`
	Migrate      migrateCommand      `cmd:"" group:"run" help:"Bring the database's schema to the version of this program."`
	Bench        benchCommand        `cmd:"" group:"run" help:"Measure this machine and Kinora on it, side by side."`
	Simulate     simulateCommand     `cmd:"" group:"try" help:"Run simulated upstreams, to develop against without paying."`
	Doctor       doctorCommand       `cmd:"" group:"run" help:"Check configuration, database, storage and accounts."`
	Org          orgCommand          `cmd:"" group:"tenants" help:"Look after organisations."`
	Key          keyCommand          `cmd:"" group:"tenants" help:"Look after API keys."`
	Endpoint     endpointCommand     `cmd:"" group:"tenants" help:"Look after the URLs that an organisation's events go to."`
	MasterKey    masterKeyCommand    `cmd:"" group:"tenants" help:"Look after the key that encrypts secrets at rest."`
	Usage        usageCommand        `cmd:"" group:"tenants" help:"Show what an organisation has used and spent in a month, or its ledger."`
	Person       personCommand       `cmd:"" group:"tenants" help:"Look after the persons who sign in to the dashboard."`
	SetupLink    setupLinkCommand    `cmd:"" group:"tenants" help:"Make a new link by which the first person comes in to the dashboard."`
	Audit        auditCommand        `cmd:"" group:"tenants" help:"Show who changed what, and when."`
	Account      accountCommand      `cmd:"" group:"tenants" help:"Look after upstream accounts."`
	Model        modelCommand        `cmd:"" group:"tenants" help:"Look at models, and what each takes."`
	Workflow     workflowCommand     `cmd:"" group:"tenants" help:"Look at workflows of the generations API, and check files of your own."`
	Submit       submitCommand       `cmd:"" group:"use" help:"Submit a generation, wait for it and download its outputs."`
	Status       statusCommand       `cmd:"" group:"use" help:"Show where a generation stands."`
	Cancel       cancelCommand       `cmd:"" group:"use" help:"Cancel a generation that has not ended."`
	Create       createCommand       `cmd:"" group:"use" help:"Make a generation of a workflow from a picture, wait for it and download its outputs."`
	Regenerate   regenerateCommand   `cmd:"" group:"use" help:"Make a generation of a workflow anew, with other choices or the same."`
	List         listCommand         `cmd:"" group:"use" help:"List generations, newest first."`
	Listen       listenCommand       `cmd:"" group:"use" help:"Bring webhooks to a receiver on your own machine, without a public address."`
	Webhook      webhookCommand      `cmd:"" group:"use" help:"Check webhooks that were received, and send test events."`
	Asset        assetCommand        `cmd:"" group:"tenants" help:"Look after source images."`
	Attempts     attemptsCommand     `cmd:"" group:"tenants" help:"Show a generation's attempts upstream, list those that need a person's eye, and act on them."`
	Health       healthCommand       `cmd:"" group:"tenants" help:"Show how the upstreams are: errors and latencies of the last hour and day."`
	Queues       queuesCommand       `cmd:"" group:"tenants" help:"Show what waits, and the nodes."`
	Storage      storageCommand      `cmd:"" group:"tenants" help:"Show what is stored."`
	Settings     settingsCommand     `cmd:"" group:"tenants" help:"Show the configuration that a server has loaded, without secrets."`
	Installation installationCommand `cmd:"" group:"tenants" help:"Show the version of a running server, and the changes of its database's schema."`
	Offer        offerCommand        `cmd:"" group:"tenants" help:"Show the models and workflows that a running server offers, and how they are made."`
	Review       reviewCommand       `cmd:"" group:"tenants" help:"Approve or reject what waits for a person."`
	Deliveries   deliveriesCommand   `cmd:"" group:"tenants" help:"Search deliveries, show what was sent and answered, and send them again."`
	Replay       replayCommand       `cmd:"" group:"tenants" help:"Revive what failed, as a job that survives restarts."`
	Version      versionCommand      `cmd:"" group:"about" help:"Show the version."`
	Help         helpCommand         `cmd:"" group:"about" help:"Explain a command."`
}

// groups are the headings of the help page, in its order.
func groups() []kong.Group {
	return []kong.Group{
		{Key: "try", Title: "Try it:"},
		{Key: "run", Title: "Run a server:"},
		{Key: "tenants", Title: "Operate it:"},
		{Key: "use", Title: "Use one:"},
		{Key: "about", Title: "About:"},
	}
}

const description = "Kinora is a gateway for asynchronous image and video generation: submit once, over one API, to any " +
	"of many upstream models; outputs are kept, and signed webhooks tell when they are there."

// run runs one command and returns the exit code. It is the whole program but for signals, which arrive as the end of ctx.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return newConsole(stdin, stdout, stderr).run(ctx, args)
}

func (c *console) run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		_, _, _ = c.parse(ctx, []string{"--help"})
		return exitUsage
	}
	parsed, ended, err := c.parse(ctx, args)
	if ended {
		return exitOK
	}
	if err == nil {
		if operates(parsed) {
			// Whoever can run this on a server's database is its operator; a server that is asked knows by the token.
			parsed.BindTo(kinora.WithActor(ctx, kinora.Actor{Kind: kinora.ActorOperator}), (*context.Context)(nil))
		}
		err = parsed.Run()
	}
	return c.fail(err)
}

// operates tells whether the chosen command is one of whoever runs a server.
func operates(parsed *kong.Context) bool {
	command := parsed.Selected()
	return command != nil && command.Target.Kind() == reflect.Struct && command.Target.FieldByName("operator").IsValid()
}

// parse reads the arguments. ended means that the answer has been given already, by --help.
func (c *console) parse(ctx context.Context, args []string) (parsed *kong.Context, ended bool, err error) {
	var g grammar
	parser, err := kong.New(&g,
		kong.Name("kinora"), kong.Description(description), kong.ExplicitGroups(groups()),
		kong.Writers(c.out, c.err), kong.Help(help),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Exit(func(int) { ended = true }), // parsing goes on regardless; what it says then is not of interest
		kong.Vars{
			"measurements": strings.Join(bench.Measurements(""), ", "), "webhook_measurements": strings.Join(bench.Measurements("webhooks"), ", "),
			"upstream_measurements": strings.Join(bench.Measurements("upstreams"), ", "),
		},
		kong.NamedMapper("signed", kong.MapperFunc(signedFlag)),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(durationFlag)),
		kong.Bind(c), kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		return nil, false, fmt.Errorf("the command line is defined wrongly: %w", err)
	}
	parsed, err = parser.Parse(args)
	c.json = c.json || g.JSON
	if err != nil && !ended {
		c.json = c.json || asksForJSON(args)
		return nil, false, usageFrom(err)
	}
	return parsed, ended, nil
}

// durationFlag reads a duration as the configuration does, with days: 30d, 1d12h, 90s.
func durationFlag(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
		return err
	}
	var d config.Duration
	if err := d.UnmarshalText([]byte(text)); err != nil {
		return fmt.Errorf("%q %w", text, err)
	}
	target.Set(reflect.ValueOf(d.Std()))
	return nil
}

// signedFlag reads a value as its type says, and takes a number below zero for one where Kong would see a flag.
func signedFlag(ctx *kong.DecodeContext, target reflect.Value) error {
	if next := ctx.Scan.Peek(); next.Type == kong.UntypedToken && negative.MatchString(next.String()) {
		ctx.Scan.Pop()
		ctx.Scan.PushTyped(next.Value, kong.FlagValueToken)
	}
	return kong.NewRegistry().RegisterDefaults().ForType(target.Type()).Decode(ctx, target)
}

var negative = regexp.MustCompile(`^-\.?[0-9]`)

// asksForJSON looks for the flag where the arguments could not be parsed.
func asksForJSON(args []string) bool {
	for _, arg := range args {
		switch arg {
		case "--json", "--json=true":
			return true
		case "--":
			return false
		}
	}
	return false
}
