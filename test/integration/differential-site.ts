/** The files and the one configuration of the differential test. It uses every module that makes or changes answers. */
import { utimesSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import type { Sandbox } from '../support/portico.ts';

const TEXT = 'The quick brown fox jumps over the lazy dog.\n';

/** Contents, latin1, by name, which is UTF-8 in the file system. */
const FILES: Readonly<Record<string, string>> = {
  'html/index.html': '<html><head><title>home</title></head><body>home</body></html>\n',
  'html/plain.txt': TEXT.repeat(40),
  'html/small.css': 'body { color: black }\n',
  'html/data.json': `{"items":[${Array.from({ length: 200 }, (_, index) => index).join(',')}]}\n`,
  'html/empty.txt': '',
  'html/page.html': `<html><head></head><body>${'<p>brown paper</p>\n'.repeat(60)}</body></html>\n`,
  'html/latin.html': 'caf\xe9 na\xefve\n'.repeat(30),
  'html/no-extension': 'nothing says what this is\n',
  'html/with space.txt': 'a space\n',
  'html/percent%41.txt': 'a percent\n',
  'html/caf\xe9.txt': 'an accent\n',
  'html/dir/index.html': 'an index\n',
  'html/dir/other.txt': 'other\n',
  'html/dir/sub/leaf.txt': 'leaf\n',
  'html/indexed/index.php': 'second index\n',
  'html/no-index/file.txt': 'file\n',
  'html/list/a.txt': 'a\n',
  'html/list/b & c.html': 'b\n',
  'html/list/long-name-that-has-more-characters-than-a-listing-shows-of-it.txt': 'c\n',
  'html/list/d<e>.txt': 'd\n',
  'html/list/nested/x': 'x\n',
  'html/errors/404.html': 'this page is not here\n',
  'html/errors/50x.html': 'something is wrong\n',
  'html/before.html': '<!-- before -->\n',
  'html/after.html': '<!-- after -->\n',
  'html/twin/only.txt': TEXT.repeat(10),
  'html/type/video.flv': 'not a video\n',
  'other/aliased.txt': 'aliased\n',
  'other/deep/file.html': 'deep\n',
  'other/index.html': 'other index\n',
};

/** When every file was changed last, in seconds since the epoch: Thu, 02 Jan 2020 03:04:05 GMT. */
export const MODIFIED = 1_577_934_245;

/** Writes the files. */
export function writeSite(sandbox: Sandbox): void {
  const names = Object.keys(FILES);
  for (const name of names) sandbox.write(name, FILES[name]!);
  const compressed = gzipSync(Buffer.from(FILES['html/twin/only.txt']!)).toString('latin1');
  for (const name of ['html/twin/only.txt.gz', 'html/twin/packed.txt.gz']) {
    sandbox.write(name, compressed);
    names.push(name);
  }
  const all = new Set(names.map((name) => sandbox.directory + name));
  for (const path of [...all]) {
    for (
      let end = path.lastIndexOf('/');
      end > sandbox.directory.length;
      end = path.lastIndexOf('/', end - 1)
    ) {
      all.add(path.slice(0, end));
    }
  }
  for (const path of all) utimesSync(path, MODIFIED, MODIFIED);
}

/** What differs between the two programs that read it. */
export interface SiteOptions {
  readonly port: number;
  /** The upstream server that both ask. */
  readonly backend: number;
  /** The main context: where logs and pid file are. */
  readonly main: string;
}

/** The configuration. */
export function siteConfiguration({ port, backend, main }: SiteOptions): string {
  return `
${main}
worker_processes 1;
events { worker_connections 256; }
http {
  server_tokens off;
  access_log off;
  port_in_redirect off;
  keepalive_timeout 65 30;
  client_body_temp_path client_temp;
  proxy_temp_path proxy_temp;
  client_max_body_size 2k;
  large_client_header_buffers 4 1k;
  index index.html;
  root html;
  types {
    text/html html htm;
    text/plain txt;
    text/css css;
    application/json json;
    video/x-flv flv;
  }
  default_type application/octet-stream;
  # Mainline's defaults, which were others before 1.29.7.
  proxy_http_version 1.1;
  proxy_set_header Connection "";

  map $http_host $site {
    hostnames;
    default unknown;
    .example.com example;
    www.example.* www;
    "" none;
  }
  map $uri $kind {
    default other;
    ~^/(?<leading>[a-z]+)/ "in $leading";
    ~*\\.TXT$ text;
    /exact exact;
  }
  map $arg_a $twice { default "$arg_a$arg_a"; volatile; 1 one; ~^x(.*)x$ "[$1]"; }
  geo $near { default far; 127.0.0.0/8 near; 10.0.0.0/8 ten; 2001:db8::/32 six; }
  geo $arg_ip $ranged { ranges; default none; 10.0.0.0-10.0.0.255 low; 10.0.1.0-10.0.1.255 high; }
  geo $arg_ip $network { default none; 192.0.2.0/24 test; 192.0.2.128/25 half; delete 192.0.2.128/25; ::1 self; }
  split_clients "$uri$arg_a" $share { 30% first; 20.5% second; * rest; }

  charset_map iso-8859-1 utf-8 { E9 C3A9; EF C3AF; }

  upstream backend { server 127.0.0.1:${backend}; keepalive 4; }

  server {
    listen 127.0.0.1:${port} default_server;
    server_name first.example.com;

    location / { add_header X-Kind $kind; add_header X-Site $site always; }
    location = /exact { return 200 "exact\\n"; }
    location = /variables {
      default_type text/plain;
      return 200 "$request_method|$scheme|$host|$server_name|$server_protocol|$uri|$args|$is_args|$arg_a|$arg_B|$query_string|$content_type|$http_x_test|$http_user_agent|$remote_addr|$remote_user|$document_root|$document_uri|$request_filename|$request_uri|$https|$cookie_a|$site|$kind|$twice|$near|$ranged|$network|$share|$request_length|$limit_rate|$realpath_root|$request_body|$http_referer|$status|$pipe|$connection_requests|$request_completion|$sent_http_content_type|\\n";
    }
    location /nested/ {
      add_header X-Outer 1;
      location /nested/deeper/ { add_header X-Inner 2; alias other/; }
      location ~ \\.txt$ { root html/dir; add_header X-Regex $uri; }
      location ^~ /nested/plain/ { return 200 "no regular expressions\\n"; }
    }
    location ^~ /caret/ { return 200 "caret $uri\\n"; }
    location ~ ^/regex/(\\d+)/(?<word>\\w+)$ { return 200 "number $1 word $word\\n"; }
    location ~* \\.PNG$ { return 200 "image\\n"; }
    location /internal/ { internal; root html; }

    # rewrite
    location /rewrite/ {
      rewrite ^/rewrite/last/(.*)$ /variables?from=$1 last;
      rewrite ^/rewrite/break/(.*)$ /$1 break;
      rewrite ^/rewrite/moved/(.*)$ /to/$1 permanent;
      rewrite ^/rewrite/found/(.*)$ http://elsewhere.example.com/$1 redirect;
      rewrite ^/rewrite/question/(.*)$ /to/$1? redirect;
      rewrite ^/rewrite/args/(.*)$ /to/$1?x=$1 redirect;
      rewrite ^/rewrite/loop/(.*)$ /rewrite/loop/x$1 last;
      rewrite ^/rewrite/scheme $scheme://$host/x;
      return 200 "no rule: $uri\\n";
    }
    location /set/ {
      set $value "start";
      if ($arg_a) { set $value "a"; }
      if ($arg_a = 1) { set $value "one"; }
      if ($arg_a != 1) { set $value "$value not one"; }
      if ($http_user_agent ~* "msie (\\d)") { set $value "msie $1"; }
      if ($uri !~ x) { set $value "$value no x"; }
      if ($request_method = POST) { return 405; }
      if (-f $document_root$arg_file) { set $value "$value file"; }
      if (-d $document_root$arg_file) { set $value "$value directory"; }
      if (!-e $document_root$arg_file) { set $value "$value nothing"; }
      if (-x $document_root$arg_file) { set $value "$value executable"; }
      return 200 "$value\\n";
    }
    location /if/ {
      add_header X-If outside;
      root html;
      if ($arg_a = 1) { add_header X-If inside; }
      if ($arg_a = 2) { return 418 "teapot"; }
      if ($arg_a = 3) { rewrite ^ /plain.txt break; }
      rewrite ^/if(/.*)$ $1 break;
    }
    location /return/ {
      location /return/200 { return 200; }
      location /return/204 { return 204; }
      location /return/301 { return 301 /moved?$args; }
      location /return/302 { return 302 https://$host$request_uri; }
      location /return/303 { return 303 relative; }
      location /return/307 { return 307 /temporary; }
      location /return/308 { return 308 /permanent; }
      location /return/400 { return 400; }
      location /return/402 { return 402; }
      location /return/404 { return 404 "my own words"; }
      location /return/410 { return 410; }
      location /return/444 { return 444; }
      location /return/500 { return 500; }
      location /return/503 { return 503; }
      location /return/599 { return 599; }
      location /return/url { return http://elsewhere.example.com/just-a-path; }
      location /return/type { default_type text/x-mine; return 200 "typed"; }
    }

    # errors
    location /errors/ {
      error_page 404 /errors/404.html;
      error_page 403 = /variables;
      error_page 405 =200 /exact;
      error_page 410 =301 /gone;
      error_page 500 502 504 =503 /errors/50x.html;
      error_page 402 https://pay.example.com/;
      error_page 418 = @teapot;
      location /errors/404.html { internal; }
      location /errors/forbidden { deny all; }
      location /errors/method { limit_except GET { deny all; } return 200 "GET\\n"; }
      location /errors/gone { return 410; }
      location /errors/broken { return 500; }
      location /errors/pay { return 402; }
      location /errors/teapot { return 418; }
      location /errors/refused { proxy_pass http://127.0.0.1:1; }
    }
    location @teapot { add_header X-Teapot yes always; return 200 "teapot $uri\\n"; }
    location /recursive/ {
      recursive_error_pages on;
      error_page 404 = /recursive/second;
      location = /recursive/second { error_page 403 = /exact; deny all; }
    }

    # files
    location /alias/ { alias other/; }
    location /alias-file { alias other/aliased.txt; }
    location ~ ^/alias-regex/(.*)$ { alias other/$1; }
    location /try/ { root html; try_files $uri $uri/ /dir$uri /no-index/file.txt; }
    location /try-code/ { try_files $uri =404; }
    location /try-named/ { try_files /nope/$uri @teapot; }
    location /try-dir/ { alias other/; try_files $uri $uri/ =403; }
    location /indexes/ { alias html/; index missing.html index.$arg_ext index.php /index.html; }
    location /list/ { autoindex on; }
    location /list-json/ { alias html/list/; autoindex on; autoindex_format json; autoindex_exact_size off; }
    location /list-xml/ { alias html/list/; autoindex on; autoindex_format xml; }
    location /list-jsonp/ { alias html/list/; autoindex on; autoindex_format jsonp; }
    location /list-local/ { alias html/list/; autoindex on; autoindex_localtime on; autoindex_exact_size off; }
    location /ranges/ { alias html/; max_ranges 2; }
    location /no-ranges/ { alias html/; max_ranges 0; }
    location /before/ { alias html/; if_modified_since before; etag off; }
    location /never/ { alias html/; if_modified_since off; }
    location /pixel { empty_gif; }
    location /types/ { alias html/; types { text/x-all txt html; } default_type text/x-default; }
    location /links/ { alias html/; disable_symlinks on; }

    # filters
    location /gzip/ {
      alias html/; gzip on; gzip_min_length 100; gzip_types text/plain application/json; gzip_vary on; gzip_comp_level 4;
    }
    location /gzip-old/ { alias html/; gzip on; gzip_http_version 1.0; gzip_disable "odd"; gzip_types *; }
    location /gzip-proxied/ { gzip on; gzip_proxied expired no-cache auth; gzip_types *; gzip_min_length 1; proxy_pass http://backend/; }
    location /twin/ { gzip_static on; }
    location /twin-always/ { alias html/twin/; gzip_static always; gunzip on; }
    location /sub/ {
      alias html/; sub_filter brown white; sub_filter "<p>" "<p class=$arg_a>"; sub_filter_once off; sub_filter_types text/plain;
    }
    location /sub-once/ { alias html/; sub_filter "</HEAD>" "<x></HEAD>"; sub_filter_last_modified on; }
    location /added/ { alias html/; add_before_body /before.html; add_after_body /after.html; addition_types text/plain; }
    location /charset/ { alias html/; charset iso-8859-1; }
    location /recoded/ { alias html/; charset utf-8; source_charset iso-8859-1; charset_types text/plain; }
    location /headers/ {
      alias html/;
      add_header X-One 1; add_header X-Two "$arg_a" always; add_header X-Empty ""; add_header Last-Modified $arg_b;
      add_header Cache-Control public;
      expires $arg_e;
    }
    location /expires-max/ { alias html/; expires max; }
    location /expires-epoch/ { alias html/; expires epoch; }
    location /expires-off/ { alias html/; expires off; }
    location /expires-hour/ { alias html/; expires 1h; }
    location /expires-negative/ { alias html/; expires -1; }
    location /expires-modified/ { alias html/; expires modified +24h; }
    location /all-filters/ {
      alias html/; gzip on; gzip_types *; gzip_min_length 1; sub_filter o 0; sub_filter_types *; sub_filter_once off;
      add_before_body /before.html; addition_types *; charset utf-8; add_header X-All yes; expires 1d;
    }
    location /mirrored/ { mirror /mirror-target; proxy_pass http://backend/; }
    location = /mirror-target { internal; return 204; }
    location /rate/ { alias html/; limit_rate 1m; limit_rate_after 1k; }
    location /no-chunks/ { alias html/; chunked_transfer_encoding off; sub_filter brown white; sub_filter_types text/plain; }
    location /etag-off/ { alias html/; etag off; }

    # access
    location /allow/ { alias html/; allow 127.0.0.0/8; deny all; }
    location /deny/ { alias html/; deny 127.0.0.1; }
    location /any/ { alias html/; satisfy any; deny all; }
    location /except/ { alias html/; limit_except GET POST { deny all; } }
    location /real/ { set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For; real_ip_recursive on; return 200 "$remote_addr $realip_remote_addr\\n"; }

    # proxy
    location /proxy/ {
      proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Kind $kind; proxy_set_header X-Length "$content_length";
      proxy_pass http://backend/;
    }
    location /proxy-same/ { proxy_pass http://backend; }
    location ~ ^/proxy-regex/(.*)$ { proxy_pass http://backend/got/$1$is_args$args; }
    location /proxy-hidden/ {
      proxy_hide_header X-Backend; proxy_pass_header Server;
      proxy_cookie_path / /proxied/; proxy_cookie_domain backend.example front.example;
      proxy_pass http://backend/; proxy_redirect default;
    }
    location /proxy-errors/ {
      proxy_intercept_errors on;
      error_page 404 /errors/404.html; error_page 500 =200 /exact; proxy_pass http://backend/;
    }
    location /proxy-small/ { client_max_body_size 10; proxy_pass http://backend/; }
  }

  server {
    listen 127.0.0.1:${port};
    server_name second.example.com *.second.example.com ~^re(?<number>\\d+)\\.example\\.com$;
    absolute_redirect off;
    server_name_in_redirect on;
    merge_slashes off;
    underscores_in_headers on;
    location / { return 200 "second $host $number $uri $http_x_under_score\\n"; }
    location /dir { root html; }
    location /moved { return 302 /elsewhere; }
  }
  server {
    listen 127.0.0.1:${port};
    server_name third.example.com;
    port_in_redirect on;
    ignore_invalid_headers off;
    large_client_header_buffers 2 512;
    keepalive_timeout 0;
    location / { root html; error_page 404 = @fallback; }
    location /named/ { try_files /none @fallback; }
    location @fallback { return 200 "fallback $uri $arg_a\\n"; }
    location /moved { return 302 /elsewhere; }
    location /name { server_name_in_redirect on; return 301 /x; }
  }
}
`;
}

/** Where requests of the generator go: the beginnings of paths, with what makes sense behind them. */
export const PLACES: readonly string[] = [
  ...siteConfiguration({ port: 1, backend: 1, main: '' })
    .split('\n')
    .flatMap((line) => /^\s*location (?:= |\^~ )?(\/\S*) \{/.exec(line)?.[1] ?? []),
];

/** Names below them. */
export const NAMES: readonly string[] = Object.keys(FILES)
  .filter((name) => name.startsWith('html/'))
  .map((name) => name.slice('html/'.length));
