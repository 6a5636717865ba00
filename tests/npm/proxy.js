// A development proxy in front of an application: `node proxy.js express 4000 8000` serves port 8000 on port 4000.

const [kind, here, app] = process.argv.slice(2);
const target = `http://127.0.0.1:${app}`;
const address = { host: "127.0.0.1", port: Number(here) };

const proxies = {
  async express() {
    const { default: express } = await import("express");
    const { default: compression } = await import("compression");
    const { createProxyMiddleware } = await import("http-proxy-middleware");
    const server = express().use(compression()).use(createProxyMiddleware({ target, changeOrigin: true }));
    await new Promise((resolve) => server.listen(address.port, address.host, resolve));
  },
  async webpack() {
    const { default: webpack } = await import("webpack");
    const { default: WebpackDevServer } = await import("webpack-dev-server");
    const compiler = webpack({ mode: "development", entry: "data:text/javascript,", infrastructureLogging: { level: "warn" } });
    const proxy = [{ context: ["/events", "/emit"], target }];
    await new WebpackDevServer({ ...address, client: false, hot: false, static: false, proxy }, compiler).start();
  },
  async vite() {
    const { createServer } = await import("vite");
    const server = { ...address, strictPort: true, proxy: { "/events": target, "/emit": target } };
    await (await createServer({ configFile: false, root: import.meta.dirname, cacheDir: process.env.CACHE, server })).listen();
  },
};

await proxies[kind]();
console.log("it listens"); // Vite listens for a moment before, to see whether somebody has the port
