// The official Go client, unmodified, against whatever broker a name server knows.
//
//	scenarios NAMESRV [--only NAME]    a line each: `ok NAME seconds`, `FAILED NAME why`
//	list                               their names
//	load WORKLOAD NAMESRV [--messages N] [--bytes N] [--callers N]
package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/rlog"
)

const longest = 75 * time.Second

type scenario struct {
	name string
	run  func(*kit)
}

func scenarios() []scenario {
	return append(sending(), receiving()...)
}

func main() {
	rlog.SetLogLevel("fatal")
	words, options := split(os.Args[1:])
	switch {
	case len(words) == 1 && words[0] == "list":
		for _, each := range scenarios() {
			fmt.Println(each.name)
		}
	case len(words) == 2 && words[0] == "scenarios":
		if !runAll(words[1], options["only"]) {
			os.Exit(1)
		}
	case len(words) == 4 && words[0] == "readback":
		_, why := guarded(func() struct{} { readback(words[1], words[2], words[3]); return struct{}{} })
		if why != "" {
			fmt.Println("FAILED", why)
			os.Exit(1)
		}
	case len(words) == 3 && words[0] == "load":
		load(words[1], words[2], options)
	default:
		fmt.Fprintln(os.Stderr, "scenarios NAMESRV | list | load WORKLOAD NAMESRV | readback NAMESRV TOPIC FILE")
		os.Exit(2)
	}
}

// split takes `--name value` out of the arguments.
func split(arguments []string) (words []string, options map[string]string) {
	options = map[string]string{}
	for i := 0; i < len(arguments); i++ {
		if name, is := strings.CutPrefix(arguments[i], "--"); is && i+1 < len(arguments) {
			i++
			options[name] = arguments[i]
		} else {
			words = append(words, arguments[i])
		}
	}
	return words, options
}

func runAll(namesrv, only string) bool {
	// A broker that was used before has topics of these names otherwise.
	run := "go-" + strconv.FormatInt(time.Now().UnixMilli(), 36)
	broker, why := guarded(func() string { return brokerOf(namesrv, run) })
	if why != "" {
		fmt.Println("FAILED go/start", why)
		return false
	}
	var (
		all     sync.WaitGroup
		printed sync.Mutex
		well    = true
		some    bool
	)
	for _, each := range scenarios() {
		if only != "" && !slices.Contains(strings.Split(only, ","), each.name) {
			continue
		}
		some = true
		all.Add(1)
		go func(each scenario) {
			defer all.Done()
			begin := time.Now()
			why := judge(each, &kit{namesrv: namesrv, prefix: run + "-" + each.name, broker: broker})
			printed.Lock()
			defer printed.Unlock()
			if why == "" {
				fmt.Printf("ok go/%s %.1f\n", each.name, time.Since(begin).Seconds())
			} else {
				well = false
				fmt.Printf("FAILED go/%s %s\n", each.name, strings.Join(strings.Fields(why), " "))
			}
		}(each)
	}
	all.Wait()
	if !some {
		fmt.Println("FAILED go none is named", only)
	}
	return well && some
}

// judge returns why the scenario failed, or nothing.
func judge(each scenario, k *kit) string {
	verdict := make(chan string, 1)
	go func() {
		_, why := guarded(func() struct{} {
			defer k.close()
			each.run(k)
			return struct{}{}
		})
		verdict <- why
	}()
	select {
	case why := <-verdict:
		return why
	case <-time.After(longest):
		return fmt.Sprint("not done within ", longest)
	}
}

// guarded runs what may panic, as failures do.
func guarded[T any](run func() T) (result T, why string) {
	defer func() {
		if failed := recover(); failed != nil {
			why = fmt.Sprint(failed)
		}
	}()
	return run(), ""
}
