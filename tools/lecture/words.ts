/** The captions of the lecture, in English and in Korean. The calls keep their names of C. */

export const WORDS = {
  en: {
    lanes: ["client 1", "server", "client 2"],
    iterative: "The iterative server: --concurrency=1",
    concurrent: "The concurrent server: --concurrency=2",
    waited: (time: string) => `Client 2 waited ${time} for its echo: client 1 had to leave first.`,
    together: (time: string) =>
      `Client 2 waited ${time} for its echo: the server serves both at once.`,
    short: "less than 1 ms",
    picture: "A server and two clients, call by call",
    legend: ["runs", "waits for its echo", "serves a client", "the kernel's queue", "sent"],
  },
  ko: {
    lanes: ["클라이언트 1", "서버", "클라이언트 2"],
    iterative: "반복 서버(iterative server): --concurrency=1",
    concurrent: "동시성 서버(concurrent server): --concurrency=2",
    waited: (time: string) =>
      `클라이언트 2는 클라이언트 1이 떠날 때까지 에코를 ${time} 기다렸습니다.`,
    together: (time: string) =>
      `클라이언트 2는 에코를 ${time} 기다렸습니다. 서버가 둘을 함께 처리합니다.`,
    short: "1 ms 미만",
    picture: "서버 하나와 클라이언트 둘의 호출 순서",
    legend: ["실행 중", "에코를 기다림", "클라이언트를 처리 중", "커널의 대기열(queue)", "전송"],
  },
} as const;

/** The captions of one language. */
export type Words = typeof WORDS[keyof typeof WORDS];
