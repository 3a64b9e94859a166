// Many GETs in flight at once with net/http: inflight.c's peer.
//
//	inflight URL BODY IN-FLIGHT REQUESTS [roots=FILE]
//
// A goroutine for each in flight, with a request that it sends again and again and a buffer of its own; one client for
// all, with ten seconds a request and as many idle connections as there are goroutines (the default is two, which would
// dial most of the time). GOMAXPROCS is what it is by default: all processors.
//
// Prints requests a second and microseconds of CPU a request.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type usage struct {
	wall         time.Time
	user, kernel float64
}

func stop(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

func used() usage {
	var cpu syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &cpu)
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return usage{time.Now(), seconds(cpu.Utime), seconds(cpu.Stime)}
}

// As is_expected in bench.h.
func isExpected(expected string, body []byte) bool {
	if size, sized := strings.CutPrefix(expected, "size="); sized {
		return strconv.Itoa(len(body)) == size
	}
	return string(body) == expected
}

func get(client *http.Client, request *http.Request, buffer []byte, expected string) {
	response, err := client.Do(request)
	if err != nil {
		stop("%v", err)
	}
	got := 0
	for {
		var n int
		n, err = response.Body.Read(buffer[got:])
		got += n
		if err != nil {
			break
		}
	}
	response.Body.Close()
	if err != io.EOF || response.StatusCode != 200 || !isExpected(expected, buffer[:got]) {
		stop("status %d, %d bytes, %v", response.StatusCode, got, err)
	}
}

func main() {
	if len(os.Args) < 5 {
		stop("usage: %s URL BODY IN-FLIGHT REQUESTS [roots=FILE]", os.Args[0])
	}
	url, expected := os.Args[1], os.Args[2]
	inFlight, _ := strconv.ParseInt(os.Args[3], 10, 64)
	requests, _ := strconv.ParseInt(os.Args[4], 10, 64)
	if inFlight < 1 || requests < 1 {
		stop("%d in flight, %d requests", inFlight, requests)
	}
	transport := &http.Transport{
		MaxIdleConnsPerHost: int(inFlight),
		// It would ask for gzip, which the others don't.
		DisableCompression: true,
	}
	for _, argument := range os.Args[5:] {
		pem, err := os.ReadFile(strings.TrimPrefix(argument, "roots="))
		if err != nil {
			stop("%v", err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: transport}
	room := len(expected)
	if size, sized := strings.CutPrefix(expected, "size="); sized {
		room, _ = strconv.Atoi(size)
	}
	// As closed_loop in bench.h.
	warmUp := 2*inFlight + 1000
	var ended atomic.Int64
	var began, done usage
	var workers sync.WaitGroup
	for range inFlight {
		workers.Add(1)
		go func() {
			defer workers.Done()
			request, err := http.NewRequest("GET", url, nil)
			if err != nil {
				stop("%v", err)
			}
			buffer := make([]byte, room+4096)
			for {
				get(client, request, buffer, expected)
				switch now := ended.Add(1); {
				case now == warmUp:
					began = used()
				case now == warmUp+requests:
					done = used()
					return
				case now > warmUp+requests:
					return
				}
			}
		}()
	}
	workers.Wait()
	each := 1e6 / float64(requests)
	user, kernel := done.user-began.user, done.kernel-began.kernel
	fmt.Printf("rps=%.0f user_us=%.3f cpu_us=%.3f\n",
		float64(requests)/done.wall.Sub(began.wall).Seconds(), user*each, (user+kernel)*each)
}
